"""The Geant4 program of one worker process: calorimeter, physics, particle gun and readout.

`calolab.simulate.workers` starts it with `python -m`. No other module imports it, because the bindings may search for
data and print messages when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import geant4_pybind as g4
import numpy as np

from calolab import materials
from calolab.simulate import workers
from calolab.simulate.geant4 import PHYSICS
from calolab.spaces import Space

# The slabs extend beyond the window by this distance [mm], more than the width of a shower, also of a tilted one.
MARGIN = 200.0


class CalorimeterGeometry(g4.G4VUserDetectorConstruction):
    """The slabs of the space in a vacuum, without division into cells: cells exist only in the readout."""

    def __init__(self, space: Space, detector: g4.G4VSensitiveDetector):
        super().__init__()
        self.space, self.detector = space, detector
        # Geant4 owns these objects, but the bindings free them if Python has no reference.
        self.kept: list[object] = []
        self.sensitive: list[g4.G4LogicalVolume] = []

    def Construct(self):
        """Build the world and return it."""
        (left, right), (bottom, top) = ((edges[0], edges[-1]) for edges in self.space.layers[0].edges)
        half_x, half_y = (right - left) / 2 + MARGIN, (top - bottom) / 2 + MARGIN
        centre_x, centre_y = (left + right) / 2, (bottom + top) / 2
        depth = max(abs(layer.depth[side]) for layer in self.space.layers for side in (0, 1))
        size = (half_x + abs(centre_x) + 1, half_y + abs(centre_y) + 1, depth + 1)
        world = self._box("world", *size, material("Galactic"))
        for number, layer in enumerate(self.space.layers):
            position = layer.depth[0]
            for slab in layer.slabs:
                sheet = self._box(slab.material, half_x, half_y, slab.thickness / 2, material(slab.material))
                self._place(sheet, g4.G4ThreeVector(centre_x, centre_y, position + slab.thickness / 2), world, number)
                if slab.sensitive:
                    self.sensitive.append(sheet)
                position += slab.thickness
        return self._place(world, g4.G4ThreeVector(), None, 0)

    def ConstructSDandField(self):
        """Connect the sensitive slabs with the detector."""
        g4.G4SDManager.GetSDMpointer().AddNewDetector(self.detector)
        for sheet in self.sensitive:
            self.SetSensitiveDetector(sheet, self.detector)

    def _box(self, name, half_x, half_y, half_z, stuff):
        solid = g4.G4Box(name, half_x, half_y, half_z)
        volume = g4.G4LogicalVolume(solid, stuff, name)
        self.kept += [solid, volume]
        return volume

    def _place(self, volume, position, mother, number):
        placed = g4.G4PVPlacement(None, position, volume, volume.GetName(), mother, False, number, False)
        self.kept.append(placed)
        return placed


class Physics(g4.G4VModularPhysicsList):
    """Electrons, positrons and photons with `G4EmStandardPhysics_option1`."""

    def __init__(self):
        super().__init__()
        self.electromagnetic = g4.G4EmStandardPhysics_option1()
        self.RegisterPhysics(self.electromagnetic)


class Gun(g4.G4VUserPrimaryGeneratorAction):
    """Shoots one particle per event at the middle of the front face, following the tasks of the current chunk."""

    def __init__(self):
        super().__init__()
        self.gun = g4.G4ParticleGun(1)
        self.gun.SetParticlePosition(g4.G4ThreeVector(0, 0, 0))
        self.tasks: Sequence[tuple] = ()

    def GeneratePrimaries(self, event):
        """Set the seeds of the event and shoot the particle."""
        energy, angle, seeds = self.tasks[event.GetEventID()]
        g4.G4UImanager.GetUIpointer().ApplyCommand(f"/random/setSeeds {seeds[0]} {seeds[1]}")
        angle = np.pi / 2 if angle is None else angle
        self.gun.SetParticleMomentumDirection(g4.G4ThreeVector(0, np.cos(angle), np.sin(angle)))
        self.gun.SetParticleEnergy(energy * g4.GeV)
        self.gun.GeneratePrimaryVertex(event)


class StepDetector(g4.G4VSensitiveDetector):
    """Records the energy deposit of every step at its midpoint.

    The scorers of Geant4 would avoid the calls to Python, a third of the time, but need the cells as volumes. Their
    boundaries divide the steps of the electrons, which reduces the energy in the silicon by 2 %.
    """

    def __init__(self):
        super().__init__("sheets")
        self.steps: list[float] = []

    def ProcessHits(self, step, history):
        """Record one step.

        Args:
            step: the step, with its energy deposit.
            history: not used.
        """
        energy = step.GetTotalEnergyDeposit()
        if energy > 0:
            ends = step.GetPreStepPoint().GetPosition() + step.GetPostStepPoint().GetPosition()
            self.steps += (ends.x, ends.y, ends.z, energy)
        return True

    def take(self) -> np.ndarray:
        """x, y, z [mm] and energy [GeV] of the deposits of the event, shape `(4, deposit)`, float32."""
        steps = np.array(self.steps).reshape(-1, 4).T
        self.steps = []
        return (steps / [[2], [2], [2], [g4.GeV]]).astype(np.float32)


class EventReader(g4.G4UserEventAction):
    """Calls a function at the end of each event."""

    def __init__(self, read: Callable[[g4.G4Event], None]):
        super().__init__()
        self.read = read

    def EndOfEventAction(self, event):
        """Read the event."""
        self.read(event)


class Actions(g4.G4VUserActionInitialization):
    """The user actions."""

    def __init__(self, *actions):
        super().__init__()
        self.actions = actions

    def Build(self):
        """Register the actions."""
        for action in self.actions:
            self.SetUserAction(action)


def material(name: str) -> g4.G4Material:
    """The material with this name from the database of Geant4.

    Raises:
        ValueError: if there is no such material.
    """
    found = g4.G4NistManager.Instance().FindOrBuildMaterial(materials.nist_name(name))
    if found is None:
        raise ValueError(
            f"Geant4 has no material {materials.nist_name(name)!r} for the slabs of {name!r}; see its list of NIST "
            f"materials.{materials.hint(name)}"
        )
    return found


def version() -> str:
    """The version of Geant4, e.g. `"11.4.1"`."""
    number = g4.G4VERSION_NUMBER
    return f"{number // 100}.{number // 10 % 10}.{number % 10}"


def prepare(job: dict) -> tuple[dict[str, str], Callable]:
    """Initialise Geant4 for a job; returns its description and a function that simulates a chunk of showers."""
    detector = StepDetector()
    calorimeter = CalorimeterGeometry(Space.from_dict(job["space"]), detector)
    send: Callable[[object], None] = print
    # Geant4 requires this order: manager, detector, physics, and then the gun.
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.SerialOnly)
    manager.SetUserInitialization(calorimeter)
    physics = Physics() if job["physics"] == PHYSICS else official_physics(job["physics"])
    manager.SetUserInitialization(physics)
    gun = Gun()
    actions = Actions(gun, EventReader(lambda event: send(detector.take())))
    manager.SetUserInitialization(actions)
    command = g4.G4UImanager.GetUIpointer().ApplyCommand
    for line in ("/run/verbose 0", "/process/em/verbose 0", "/process/verbose 0", f"/run/setCut {job['cut']} mm"):
        command(line)
    manager.Initialize()
    gun.gun.SetParticleDefinition(g4.G4ParticleTable.GetParticleTable().FindParticle(job["particle"]))

    def work(chunk, send_result):
        nonlocal send
        send = send_result
        gun.tasks = chunk
        manager.BeamOn(len(chunk))

    # Kept until the work is done: Geant4 owns these objects, but the bindings free them if Python has no reference.
    work.kept = (manager, calorimeter, physics, actions)
    return {"version": version(), "physics": job["physics"], "cut": f"{job['cut']} mm"}, work


def official_physics(name: str) -> g4.G4VModularPhysicsList:
    """The reference physics list of Geant4 with this name.

    Raises:
        ValueError: if there is no such list.
    """
    factory = g4.G4PhysListFactory()
    if not factory.IsReferencePhysList(name):
        known = ", ".join(str(each) for each in factory.AvailablePhysLists())
        raise ValueError(f"Geant4 has no physics list {name!r}. It has {known}, each also with _EMV, _EMX, _EMZ, ...")
    return factory.GetReferencePhysList(name)


if __name__ == "__main__":
    workers.serve(prepare)
