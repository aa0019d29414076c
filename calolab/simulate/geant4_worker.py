"""The Geant4 program: calorimeter, physics, particle gun and readout of one worker process; Geant4's only door.

`calolab.simulate.workers` starts it with `python -m`; nothing else may import it, since the bindings may look for data
as they are imported and print what they like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import geant4_pybind as g4
import numpy as np

from calolab.simulate import workers
from calolab.simulate.geant4 import PHYSICS
from calolab.spaces import Space

# The sheets reach this far beyond the window [mm], more than a shower's width: it ends in no edge, tilted or not.
MARGIN = 200.0
NIST_NAMES = {"Air": "G4_AIR", "lAr": "G4_lAr"}


class Calorimeter(g4.G4VUserDetectorConstruction):
    """The space's slabs in a vacuum, as whole sheets: pads exist in the readout only and disturb no step."""

    def __init__(self, space: Space, detector: g4.G4VSensitiveDetector):
        super().__init__()
        self.space, self.detector = space, detector
        # Geant4 owns what is built, but the bindings free what Python drops.
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
        """Connect the sensitive sheets with the detector."""
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
    """Electrons, positrons and photons, by `G4EmStandardPhysics_option1`."""

    def __init__(self):
        super().__init__()
        self.electromagnetic = g4.G4EmStandardPhysics_option1()
        self.RegisterPhysics(self.electromagnetic)


class Gun(g4.G4VUserPrimaryGeneratorAction):
    """Shoots one particle per event, from the tasks of the chunk at hand, at the middle of the front face."""

    def __init__(self):
        super().__init__()
        self.gun = g4.G4ParticleGun(1)
        self.gun.SetParticlePosition(g4.G4ThreeVector(0, 0, 0))
        self.tasks: Sequence[tuple] = ()

    def GeneratePrimaries(self, event):
        """Seed the event's own random numbers and shoot."""
        energy, angle, seeds = self.tasks[event.GetEventID()]
        g4.G4UImanager.GetUIpointer().ApplyCommand(f"/random/setSeeds {seeds[0]} {seeds[1]}")
        angle = np.pi / 2 if angle is None else angle
        self.gun.SetParticleMomentumDirection(g4.G4ThreeVector(0, np.cos(angle), np.sin(angle)))
        self.gun.SetParticleEnergy(energy * g4.GeV)
        self.gun.GeneratePrimaryVertex(event)


class StepDetector(g4.G4VSensitiveDetector):
    """Notes every step's deposit at the step's midpoint.

    Geant4's own scorers would spare the calls of Python, a third of the time, but need the pads as volumes. Their
    borders break up the electrons' steps, and the silicon then receives 2 % less.
    """

    def __init__(self):
        super().__init__("sheets")
        self.steps: list[float] = []

    def ProcessHits(self, step, history):
        """Note one step."""
        energy = step.GetTotalEnergyDeposit()
        if energy > 0:
            ends = step.GetPreStepPoint().GetPosition() + step.GetPostStepPoint().GetPosition()
            self.steps += (ends.x, ends.y, ends.z, energy)
        return True

    def take(self) -> np.ndarray:
        """x, y, z [mm] and energy [GeV] of the event's deposits, shape `(4, deposit)`, float32."""
        steps = np.array(self.steps).reshape(-1, 4).T
        self.steps = []
        return (steps / [[2], [2], [2], [g4.GeV]]).astype(np.float32)


class EventReader(g4.G4UserEventAction):
    """Calls a function with each finished event."""

    def __init__(self, read: Callable[[g4.G4Event], None]):
        super().__init__()
        self.read = read

    def EndOfEventAction(self, event):
        """Read the event out."""
        self.read(event)


class Actions(g4.G4VUserActionInitialization):
    """Geant4's list of user actions."""

    def __init__(self, *actions):
        super().__init__()
        self.actions = actions

    def Build(self):
        """Register them."""
        for action in self.actions:
            self.SetUserAction(action)


def material(name: str) -> g4.G4Material:
    """Geant4's own description of a material.

    Raises:
        ValueError: if Geant4 knows none of that name.
    """
    found = g4.G4NistManager.Instance().FindOrBuildMaterial(NIST_NAMES.get(name, f"G4_{name}"))
    if found is None:
        raise ValueError(
            f"Geant4 knows no material 'G4_{name}' for the slabs of {name!r}; see its list of NIST materials."
        )
    return found


def version() -> str:
    """Geant4's version, e.g. `"11.4.1"`."""
    number = g4.G4VERSION_NUMBER
    return f"{number // 100}.{number // 10 % 10}.{number % 10}"


def prepare(job: dict) -> tuple[dict[str, str], Callable]:
    """Set Geant4 up for a job, and return what it is and the function that makes a chunk of showers."""
    detector = StepDetector()
    calorimeter = Calorimeter(Space.from_dict(job["space"]), detector)
    send: Callable[[object], None] = print
    # Geant4 insists on this order: manager, detector, physics, and only then the gun.
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

    # As long as there is work: Geant4 owns these, but the bindings free what Python drops.
    work.kept = (manager, calorimeter, physics, actions)
    return {"version": version(), "physics": job["physics"], "cut": f"{job['cut']} mm"}, work


def official_physics(name: str) -> g4.G4VModularPhysicsList:
    """One of Geant4's reference physics lists, by its official name.

    Raises:
        ValueError: if there is none of that name.
    """
    factory = g4.G4PhysListFactory()
    if not factory.IsReferencePhysList(name):
        known = ", ".join(str(each) for each in factory.AvailablePhysLists())
        raise ValueError(
            f"Geant4 knows no physics list {name!r}. It knows {known}, each also with _EMV, _EMX, _EMZ, ..."
        )
    return factory.GetReferencePhysList(name)


if __name__ == "__main__":
    workers.serve(prepare)
