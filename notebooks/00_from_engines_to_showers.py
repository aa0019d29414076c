# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From engines to showers
#
# An electron that enters a calorimeter produces a shower of thousands of particles. Geant4 simulates each of them, which takes CPU time
# proportional to the energy. A generator that was trained on Geant4's showers makes the whole shower at once. This notebook
#
# 1. shows the trained generator that is part of calolab beside Geant4, and measures how well they agree;
# 2. changes the detector and simulates a few hundred showers in it;
# 3. starts engines and trains the generator on these showers for about two minutes;
# 4. compares the generator with Geant4 in the changed detector, before and after, and states what this cost.
#
# [Notebook 01](01_3dgan_as_published.ipynb) trains a GAN from nothing, 3DGAN.

# %% [markdown]
# ## Parameters
#
# This cell contains everything that determines the size of the run. `CALOLAB_SIZE` selects it: `test` takes one to two minutes and
# `demo` less than seven; `full` uses more showers and trains for an hour.

# %% tags=["parameters"]
import os
from importlib.util import find_spec

size = os.environ.get("CALOLAB_SIZE", "demo")
n_reference, n_events, epochs, time_limit, batch_size, n_engines = {
    "test": (200, 12, 2, 6, 4, 2),
    "demo": (1_000, 240, 1_000, 90, 32, 2),
    "full": (1_000, 3_000, 1_000, 3_600, 32, 8),
}[size]  # showers of the packaged samples, new showers; the time limit is in seconds; the batch is per engine
if find_spec("horovod") is None:
    n_engines = 1  # without Horovod only one engine can be used
energies = (10, 100)  # uniform, in GeV
metrics = ["energy", "separation.mean", "auc.trees"]
seed = 7

# %%
from time import perf_counter

begin = perf_counter()

import numpy as np

import calolab as cl

# %load_ext calolab

# %% [markdown]
# ## 1. The generator that is part of calolab
#
# The detector is the electromagnetic calorimeter of CLIC: 17 thin and 8 thick tungsten absorbers, each followed by a silicon layer with
# cells of 5.1 mm. A shower is an array of 25 x 25 x 25 numbers: the energy deposited in each cell, in GeV. `clic-electrons-demo` has 1,000
# electrons by Geant4 that were not used to train the generator. For each of them the generator makes a shower of the same energy.

# %%
gan = cl.models.load("calolab-fast")
geant4 = cl.datasets.load("clic-electrons-demo").select(slice(n_reference))
start = perf_counter()
generated = gan.generate(geant4.labels, seed=seed)
generation_seconds = (perf_counter() - start) / n_reference
names = ("Geant4", "calolab-fast")
viewer = cl.widgets.SliceViewer(geant4, generated, names=names)
viewer

# %% [markdown]
# Geant4 is on the left. The slider or the arrow keys move through the calorimeter. Everything is drawn in the browser, so the widget
# responds while the kernel is busy.
#
# In the next widget the random numbers are the same at all energies, and only the energy changes:

# %%
interpolation = cl.widgets.EnergyInterpolation(gan, energies=energies, reference=geant4, names=names)
interpolation

# %% [markdown]
# Pictures do not show whether the physics is right. The scorecard does: `auc.trees` is the AUC of a classifier that is trained to separate
# generated showers from those of Geant4 (0.5: it finds no difference, 1: it separates all). Next to each number is its floor, the same
# number for two samples of Geant4. [Notebook 15](15_scorecard.ipynb) shows all metrics.

# %%
options = {"metrics": metrics, "reference_name": "Geant4", "seed": seed}
card = cl.validation.scorecard(geant4, {"calolab-fast": generated}, **options)
card

# %% [markdown]
# ## 2. A changed detector
#
# The absorbers are now of lead, and 1.6 times as thick, which is about as many radiation lengths. The generator has never seen this
# detector. A few hundred showers are simulated in it for training. For the comparison, `clic-electrons-lead` has 1,000 others, simulated
# with another seed.

# %%
lead = cl.spaces.space("clic-ecal").replaced(material={"W": "Pb"}, scale={"W": 1.6}, name="clic-ecal-lead")
cl.simulate.showers(lead, events=1, energy=1, seed=seed, progress=False)  # makes cross-section tables when first used
start = perf_counter()
train = cl.simulate.showers(lead, events=n_events, energy=energies, seed=seed)
simulation_seconds = perf_counter() - start
reference = cl.datasets.load("clic-electrons-lead").select(slice(n_reference))
train, reference

# %% [markdown]
# ## 3. Engines
#
# `%ipcluster start` starts engines on this machine. With `--engines mpi`, `srun` or `slurm` they start on a cluster, and all other cells
# stay the same.

# %%
# engines = %ipcluster start -n $n_engines
engines

# %% [markdown]
# ## 4. The generator adapts to the changed detector
#
# `adapted` is a copy of the generator for the new detector, with the same weights. `fit` first moves its normalisation to the new showers,
# then trains both of its networks further; it returns at once. Each engine has a part of the showers; after each pass Horovod averages the
# gradients over all engines. The monitor shows the losses of each rank, and has a button that stops the training.

# %%
adapted = gan.adapted(lead)
before = adapted.generate(reference.labels, seed=seed)

start = perf_counter()
recipe = cl.training.Recipe.of_adaptation(gan)
fit_options = {"epochs": epochs, "time_limit": time_limit, "batch_size": batch_size, "recipe": recipe, "seed": seed}
run = cl.distributed.fit(engines, adapted, train, **fit_options)
monitor = cl.widgets.TrainingMonitor(run)
monitor

# %%
history = await monitor.wait()  # waits without blocking the kernel; `run.wait()` blocks it
training_seconds = perf_counter() - start
history

# %% [markdown]
# The monitor at the end of the training, with the losses of every step:

# %%
monitor

# %% [markdown]
# ## 5. Before and after
#
# Both rows are compared with showers of Geant4 in the changed detector that were not used for training.

# %%
after = adapted.generate(reference.labels, seed=seed)
change = cl.validation.scorecard(reference, {"before": before, "after": after}, **options)
change

# %%
cl.widgets.SliceViewer(reference, after, names=("Geant4", "adapted"))

# %% [markdown]
# ## 6. What it cost
#
# The times are wall times on this machine. Geant4 uses all cores; those of the training include the time until the ranks are connected.

# %% tags=["summary"]
for name, one in (("tungsten", card["calolab-fast"]), ("lead, before", change["before"]), ("lead, after", change["after"])):
    auc, separation = one["auc.trees"], one["separation.mean"]
    print(f"{name:28} {auc.value:8.3f} AUC of trees, {separation.value:.4f} mean separation (floor {separation.floor:.4f})")
print(f"Geant4                       {1e3 * simulation_seconds / n_events:8.1f} ms per shower on all cores, in lead")
print(f"calolab-fast                 {1e3 * generation_seconds:8.2f} ms per shower, with the start of TensorFlow")
print(f"simulation                   {simulation_seconds:8.0f} s for {n_events} showers of {energies[0]} to {energies[1]} GeV")
print(f"training on {len(engines)} engines        {training_seconds:8.0f} s, {history.steps} steps")
print(f"on                           {cl.cpu.report()}")
print(f"this notebook                {perf_counter() - begin:8.0f} s")

# %% [markdown]
# ## 7. Checks
#
# For every size: all showers are finite, all ranks have the same weights, and all losses are finite. With the full training,
# the generator is much nearer to Geant4 in the changed detector than before.

# %%
assert all(np.isfinite(sample.values).all() for sample in (generated, before, after))
assert history.steps >= 1 and len(set(run.digests)) == 1, run.digests
assert monitor.status in ("finished", "stopped") and not monitor.message, monitor.message
assert all(np.isfinite(value) for step in run.losses for value in step.values())
assert size == "test" or change["after"]["separation.mean"].value < 0.6 * change["before"]["separation.mean"].value

# %%
# %ipcluster stop
