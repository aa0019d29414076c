"""The Geant4 program: calorimeter, physics, particle gun and readout of one worker process; Geant4's only door.

`calolab.simulate.workers` starts it with `python -m`; nothing else may import it, since the bindings may look for data
as they are imported and print what they like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import geant4_pybind as g4
import numpy as np

from calolab.simulate import workers
from calolab.spaces import Space

# Absorbers reach this far beyond the outermost pads [mm], so that nothing ends at the edge of the readout.
MARGIN = 100.0
# Pads beyond the window on each side that tilted showers may shift to before the window is put around them.
SPARE_PADS = 24
NIST_NAMES = {"Air": "G4_AIR", "lAr": "G4_lAr"}


class Calorimeter(g4.G4VUserDetectorConstruction):
    """The space's slabs in a vacuum; sensitive slabs are cut into pads, which changes no material.

    Args:
        space: the calorimeter.
        spare: pads read out beyond the window, on each side.
        detector: makes the sensitive detector, followed by its scorers if it has any, once Geant4 is ready for them.
    """

    def __init__(self, space: Space, spare: int, detector: Callable[[], Sequence]):
        super().__init__()
        self.space, self.detector = space, detector
        self.pads = tuple(n + 2 * spare for n in space.layers[0].shape)
        self.sizes = tuple(edges[1] - edges[0] for edges in space.layers[0].edges)
        self.centre = tuple((edges[0] + edges[-1]) / 2 for edges in space.layers[0].edges)
        # Geant4 owns what is built, but the bindings free what Python drops.
        self.kept: list[object] = []
        self.sensitive: list[g4.G4LogicalVolume] = []

    def Construct(self):
        """Build the world and return it."""
        depth = self.space.layers[-1].depth[1]
        half = [n * size / 2 + MARGIN for n, size in zip(self.pads, self.sizes)]
        vacuum = material("Galactic")
        world = self._box("world", half[0] + 1, half[1] + 1, depth + 10, vacuum)
        for number, layer in enumerate(self.space.layers):
            position = layer.depth[0]
            for slab in layer.slabs:
                stuff = material(slab.material)
                sheet = self._box(slab.material, *half, slab.thickness / 2, stuff)
                middle = g4.G4ThreeVector(*self.centre, position + slab.thickness / 2)
                self._place(sheet, middle, world, number)
                if slab.sensitive:
                    self._cut_into_pads(sheet, slab.thickness / 2, stuff)
                position += slab.thickness
        return self._place(world, g4.G4ThreeVector(), None, 0)

    def ConstructSDandField(self):
        """Make the pads sensitive."""
        detector, *scorers = self.detector()
        g4.G4SDManager.GetSDMpointer().AddNewDetector(detector)
        self.kept += [detector, scorers]
        for volume in self.sensitive:
            self.SetSensitiveDetector(volume, detector)

    def _cut_into_pads(self, sheet, half_thickness, stuff):
        (columns, rows), (width, height) = self.pads, self.sizes
        plane = self._box("pads", columns * width / 2, rows * height / 2, half_thickness, stuff)
        self._place(plane, g4.G4ThreeVector(), sheet, 0)
        column = self._box("column", width / 2, rows * height / 2, half_thickness, stuff)
        self.kept.append(g4.G4PVReplica("column", column, plane, g4.EAxis.kXAxis, columns, width))
        pad = self._box("pad", width / 2, height / 2, half_thickness, stuff)
        self.kept.append(g4.G4PVReplica("pad", pad, column, g4.EAxis.kYAxis, rows, height))
        self.sensitive.append(pad)

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
    """Notes every step's deposit at the step's midpoint."""

    def __init__(self):
        super().__init__("pads")
        self.steps: list[tuple] = []

    def ProcessHits(self, step, history):
        """Note one step."""
        energy = step.GetTotalEnergyDeposit()
        if energy > 0:
            before, after = step.GetPreStepPoint().GetPosition(), step.GetPostStepPoint().GetPosition()
            middle = ((before.x + after.x) / 2, (before.y + after.y) / 2, (before.z + after.z) / 2)
            self.steps.append((*middle, energy / g4.GeV))
        return True

    def take(self) -> np.ndarray:
        """x, y, z [mm] and energy [GeV] of the event's deposits, shape `(4, deposit)`."""
        steps = np.array(self.steps, np.float32).reshape(-1, 4).T
        self.steps = []
        return np.ascontiguousarray(steps)


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
        raise ValueError(f"Geant4 knows no material 'G4_{name}' for the slabs of {name!r}; see its list of NIST materials.")
    return found


def pad_detector(pads: tuple[int, int], layers: int) -> tuple[g4.G4MultiFunctionalDetector, g4.G4PSEnergyDeposit3D]:
    """Geant4's own sum of the deposits per pad: no Python runs during an event, which saves a third of the time."""
    detector = g4.G4MultiFunctionalDetector("pads")
    # How many volumes above the pad each index is found: the column, the pad itself, the sheet.
    scorer = g4.G4PSEnergyDeposit3D("energy", pads[0], pads[1], layers, 1, 0, 3)
    detector.RegisterPrimitive(scorer)
    return detector, scorer


def pad_energies(event: g4.G4Event, shape: tuple[int, int, int]) -> np.ndarray:
    """Energies per pad [GeV] that `pad_detector` summed in an event."""
    energies = np.zeros(shape)
    collection = event.GetHCofThisEvent().GetHC(0)
    if collection.GetSize():
        pads, deposits = np.array(list(collection)).T
        energies.ravel()[pads.astype(int)] = deposits / g4.GeV
    return energies


def window(energies: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cut the window out of a wider plane of pads so that its middle pad holds the energy barycentre.

    Args:
        energies: shape `(x, y, z)`.
        shape: pads of the window along x and y.

    Returns:
        Shape `(*shape, z)`; the plane's middle where there is no energy.
    """
    cut = []
    for axis, pads in enumerate(shape):
        profile = energies.sum(axis=(1 - axis, 2))
        spare = energies.shape[axis] - pads
        total = profile.sum()
        mean = float(profile @ np.arange(profile.size)) / total if total > 0 else (profile.size - 1) / 2
        cut.append(int(np.clip(round(mean - (pads - 1) / 2), 0, spare)))
    return energies[cut[0] : cut[0] + shape[0], cut[1] : cut[1] + shape[1]]


def prepare(job: dict) -> tuple[dict[str, str], Callable]:
    """Set Geant4 up for a job, and return what it is and the function that makes a chunk of showers."""
    space = Space.from_dict(job["space"])
    spare = SPARE_PADS if job["tilted"] else 0
    *transverse, layers = space.shape
    pads = tuple(n + 2 * spare for n in transverse)
    steps = StepDetector() if job["readout"] == "deposits" else None
    calorimeter = Calorimeter(space, spare, lambda: [steps] if steps else pad_detector(pads, layers))
    send: Callable[[object], None] = print

    def read(event):
        if steps:
            send(steps.take())
            return
        energies = window(pad_energies(event, (*pads, layers)), transverse).ravel()
        cell = np.flatnonzero(energies)
        send((cell.astype(np.int32), energies[cell].astype(np.float32)))

    # Geant4 insists on this order: manager, detector, physics, and only then the gun.
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.SerialOnly)
    manager.SetUserInitialization(calorimeter)
    physics = official_physics(job["physics"]) if job["physics"] else Physics()
    manager.SetUserInitialization(physics)
    gun = Gun()
    actions = Actions(gun, EventReader(read))
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

    work.kept = (manager, calorimeter, physics, actions)
    about = {"version": g4.G4Version.strip("$").replace("Name:", "").strip(), "cut": f"{job['cut']} mm"}
    return about | {"physics": job["physics"] or "G4EmStandardPhysics_option1"}, work


def official_physics(name: str) -> g4.G4VModularPhysicsList:
    """One of Geant4's reference physics lists, by its official name.

    Raises:
        ValueError: if there is none of that name.
    """
    factory = g4.G4PhysListFactory()
    if not factory.IsReferencePhysList(name):
        known = ", ".join(str(each) for each in factory.AvailablePhysLists())
        raise ValueError(f"Geant4 knows no physics list {name!r}. It knows {known}, each also with _EMV, _EMX, _EMZ, ...")
    return factory.GetReferencePhysList(name)


if __name__ == "__main__":
    workers.serve(prepare)
