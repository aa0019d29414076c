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
# # 3DGAN as published
#
# [Notebook 00](00_from_engines_to_showers.ipynb) starts with a trained generator. This one starts with nothing: it trains 3DGAN
# (arXiv:1912.06794), the first GAN for the whole shower of a calorimeter, with its published recipe.
#
# 1. simulate showers with Geant4 and compare them with reference values for this calorimeter;
# 2. train a 3DGAN on several engines with Horovod;
# 3. compare generated showers with Geant4, with statistical floors, and estimate the cost of a full training.
#
# A few minutes of training on two cores are **not** enough for good showers. The figures show this, and the last section estimates the cost
# of a full training.

# %% [markdown]
# ## Parameters
#
# This cell contains everything that determines the size of the run. `CALOLAB_SIZE` selects it: `test` takes one minute and `demo` five;
# `full` is the published size for a cluster, for which the Geant4 showers alone take about 80 core-hours. `test` and `demo` train for a
# fixed time on any machine; a faster machine does more steps.

# %% tags=["parameters"]
import os
from importlib.util import find_spec

size = os.environ.get("CALOLAB_SIZE", "demo")
n_events, energies, n_checks, epochs, time_limit, batch_size, learning_rate, n_engines = {
    "test": (20, (10, 50), 20, 2, 6, 2, 3e-4, 2),
    "demo": (320, (10, 50), 200, 50, 120, 8, 3e-4, 2),  # a small learning rate suits a few dozen steps
    "full": (200_000, (10, 500), 1_000, 50, None, 16, 1e-3, 8),  # as published: 128 showers per step in total
}[size]  # energies are uniform, in GeV; the time limit is in seconds; the batch is per engine
if find_spec("horovod") is None:
    n_engines = 1  # without Horovod only one engine can be used
seed = 7

# %%
from time import perf_counter

import numpy as np

import calolab as cl

# %load_ext calolab

# %% [markdown]
# ## 1. Geant4 showers
#
# The detector is the electromagnetic calorimeter of CLIC: 17 thin and 8 thick tungsten absorbers, each followed by a silicon layer with
# cells of 5.1 mm. A shower is an array of 25 x 25 x 25 numbers: the energy deposited in each cell, in GeV. (The very first call makes the
# cross-section tables of Geant4. The shower of 1 GeV in this cell does that before the time is measured.)

# %%
cl.simulate.showers("clic-ecal", events=1, energy=1, seed=seed, progress=False)
start = perf_counter()
showers = cl.simulate.showers("clic-ecal", events=n_events, energy=energies, seed=seed)
geant4_seconds = (perf_counter() - start) / n_events
showers

# %% [markdown]
# One fifth of the showers is the test sample, which is not used for training.

# %%
train, test = showers.split(test=0.2, seed=seed)
train, test

# %% [markdown]
# ## 2. Comparison with reference values
#
# In a reference simulation of a thousand 10 GeV electrons, 2.05 % of the energy was deposited in the silicon, at a mean depth of 45.0 mm.
# An independent sample with a wider window must agree within 2 % plus three standard errors. (The original simulation of CLIC, which
# describes the gaps between the layers in more detail, gives 2.18 %.)

# %%
checks = cl.simulate.showers("clic-ecal-51", events=n_checks, energy=10, seed=seed + 1)
visible = cl.validation.visible_energy(checks)
depths, _ = cl.validation.moments(checks, "z")
mean_depth = np.average(depths, weights=visible)  # mean over all deposits, not over showers

fraction_error = np.std(visible / 10) / np.sqrt(n_checks)
depth_error = np.std(depths) / np.sqrt(n_checks)
print(f"visible fraction {np.mean(visible / 10):.4f} +- {fraction_error:.4f}, expected 0.0205")
print(f"mean depth       {mean_depth:.1f} +- {depth_error:.1f} mm, expected 45.0 mm")

fraction_agrees = abs(np.mean(visible / 10) - 0.02054) < 0.02 * 0.02054 + 3 * fraction_error
depth_agrees = abs(mean_depth - 45.0) < 0.02 * 45.0 + 3 * depth_error

# %% [markdown]
# ## 3. A GAN for this calorimeter
#
# The generator of 3DGAN makes a shower from 200 random numbers, scaled with the requested energy. The discriminator separates simulated
# from generated showers; it also estimates the incident energy and calculates the sum of the deposits.

# %%
gan = cl.models.build("3dgan", train.space)
gan

# %% [markdown]
# ## 4. Engines
#
# As in notebook 00. Engines keep running when the kernel is restarted; the same line then reconnects to them.

# %%
# engines = %ipcluster start -n $n_engines
engines

# %% [markdown]
# ## 5. Training on all engines
#
# `fit` returns at once. Each engine has a part of the events; after each pass Horovod averages the gradients over all engines. Training
# stops after `epochs` epochs, or after the step in which `time_limit` is exceeded. The monitor shows the progress of each rank and the
# losses, and has a button that stops the training.

# %%
recipe = cl.training.Recipe(learning_rate=learning_rate)
options = {"batch_size": batch_size, "recipe": recipe, "seed": seed}
run = cl.distributed.fit(engines, gan, train, epochs=epochs, time_limit=time_limit, **options)
monitor = cl.widgets.TrainingMonitor(run)
monitor

# %%
history = await monitor.wait()  # waits without blocking the kernel; `run.wait()` blocks it
history

# %% [markdown]
# The monitor at the end of the training, with the losses of every step:

# %%
monitor

# %% [markdown]
# How much faster are several engines? A few steps of the same training on one engine give the ratio.

# %%
few = train.select(slice(0, 4 * batch_size))
fresh = cl.models.build("3dgan", train.space)
alone = cl.distributed.fit(engines, fresh, few, epochs=1, time_limit=time_limit and 30, ranks=1, **options).wait()

on_one, on_all = alone.samples_per_second, history.samples_per_second
f"{on_one:.1f} samples/s on one engine, {on_all:.1f} on {len(engines)}: {on_all / on_one:.2f} times as fast"

# %% [markdown]
# ## 6. Comparison of generated showers with Geant4
#
# For each shower of the test sample the GAN generates one of the same energy. Next to every distance is its floor: the distance between two
# Geant4 samples of this size.

# %%
generated = gan.generate(test.labels, seed=seed)
report = cl.validation.compare(test, generated)
report

# %%
report.plot()

# %% [markdown]
# ## 7. Single showers
#
# Geant4 is on the left, generated showers are on the right.

# %%
viewer = cl.widgets.SliceViewer(test, generated)
viewer

# %% [markdown]
# Mean longitudinal and transverse profiles, for any range of energies:

# %%
explorer = cl.widgets.ProfileExplorer(test, generated)
explorer

# %% [markdown]
# ## 8. Computing time, here and for a full training
#
# Geant4 and the generator used the same cores, so the ratio of their times is the speed-up.

# %%
many = {"energy": np.linspace(*energies, 64)}
gan.generate(many, seed=seed)
start = perf_counter()
gan.generate(many, seed=seed)
generation_seconds = (perf_counter() - start) / 64

published = 200_000 * 50  # events times epochs
seen = sum(row["events"] for row in history.rows)  # an event is counted in every epoch that uses it
errors = [step["real_auxiliary"] for step in run.losses]  # of the energy estimate of the discriminator [%]
few_steps = max(1, len(errors) // 5)
first_error, last_error = np.mean(errors[:few_steps]), np.mean(errors[-few_steps:])
guess = 100 * np.mean(np.abs(np.median(train.labels["energy"]) / train.labels["energy"] - 1))
response = generated.values.sum() / test.values.sum()
worst = max(report.observables.values(), key=lambda observable: observable.distances["separation"].value)
distance = worst.distances["separation"]

# %% tags=["summary"]
print(f"Geant4                       {1e3 * geant4_seconds:8.1f} ms per shower ({energies[0]} to {energies[1]} GeV)")
print(f"3DGAN                        {1e3 * generation_seconds:8.2f} ms per shower")
print(f"speed-up on the same cores   {geant4_seconds / generation_seconds:8.1f}")
print(f"training, one engine         {on_one:8.1f} samples/s")
print(f"training, {len(engines)} engines          {on_all:8.1f} samples/s ({on_all / on_one:.2f} times one engine)")
print(f"trained for                  {history.steps:8d} steps, {seen / len(train):.1f} epochs of {len(train)} showers")
print(f"on                           {cl.cpu.report()}")
print(f"published training           {published / on_all / 86400:8.1f} days on these engines")
print(f"error of energy estimate     {last_error:8.0f} % in the last steps, {first_error:.0f} % in the first (without input {guess:.0f} %)")
print(f"generated / Geant4 energy    {response:8.2f}")
print(f"worst observable             {distance.value:8.2f} separation of {worst.label} (floor: {distance.floor:.2f})")

# %% [markdown]
# The speed-up is real, but the physics is not yet right: the separation measures how much the worst observable differs from Geant4 (0:
# equal, 1: no overlap). The published training has fifty epochs on 200,000 showers. `CALOLAB_SIZE=full` does the same on all available
# engines.

# %% [markdown]
# ## 9. Checks
#
# For every size: the Geant4 showers agree with the reference values, all ranks have the same weights, all losses are finite, and after 20
# or more steps the discriminator estimates energies better than in the first steps.

# %%
assert fraction_agrees and depth_agrees
assert len(set(run.digests)) == 1, run.digests
assert history.steps == len(errors) >= 1
assert all(np.isfinite(value) for step in run.losses for value in step.values())
assert history.steps < 20 or last_error < first_error, errors

# %%
# %ipcluster stop
