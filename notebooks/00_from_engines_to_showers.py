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
# An electron that enters a calorimeter multiplies into a shower of thousands of particles. Geant4 follows every one of them,
# which costs CPU time in proportion to the energy. A generative adversarial network (GAN) learns to paint the same picture in one
# pass. This notebook goes the whole way:
#
# 1. make real Geant4 showers, here and now, with nothing to download;
# 2. check them against known figures of this calorimeter;
# 3. start engines and train a 3DGAN across them with Horovod;
# 4. generate showers and judge them against Geant4, beside the statistical floor.
#
# A few minutes of training on two cores do **not** make good showers. You will see that in the figures, and at the end what a full
# training costs.

# %% [markdown]
# ## Parameters
#
# Everything that sets the size of the run is in this cell. `CALOLAB_SIZE` chooses: `test` runs in a minute, `demo` in five, and
# `full` is the published size, for a cluster: its Geant4 showers alone take some 80 core-hours. `test` and `demo` train for a fixed
# time, so that they end on any machine; a faster one takes more steps.

# %% tags=["parameters"]
import os
from importlib.util import find_spec

size = os.environ.get("CALOLAB_SIZE", "demo")
n_events, energies, n_checks, epochs, time_limit, batch_size, learning_rate, n_engines = {
    "test": (25, (10, 50), 25, 2, 12, 2, 3e-4, 2),
    "demo": (320, (10, 50), 200, 50, 120, 8, 3e-4, 2),  # a few dozen steps go further in small strides
    "full": (200_000, (10, 500), 1_000, 50, None, 16, 1e-3, 8),  # as published: 128 showers per step in all
}[size]  # energies are uniform, in GeV; the time limit is in seconds; the batch is per engine
if find_spec("horovod") is None:
    n_engines = 1  # Horovod joins engines; where it could not be built, one works alone
seed = 7

# %%
from time import perf_counter

import numpy as np

import calolab as cl

# %load_ext calolab

# %% [markdown]
# ## 1. Geant4 showers, made on the spot
#
# The detector is the electromagnetic calorimeter of CLIC: 17 thin and 8 thick tungsten sheets, a silicon layer behind each, read out
# in pads of 5.1 mm. A shower is a box of 25 x 25 x 25 numbers: the energy deposited in each pad, in GeV. (The first call ever makes
# Geant4's tables; a shower of 1 GeV does that here, before the clock starts.)

# %%
cl.simulate.showers("clic-ecal", events=1, energy=1, seed=seed, progress=False)
start = perf_counter()
showers = cl.simulate.showers("clic-ecal", events=n_events, energy=energies, seed=seed)
geant4_seconds = (perf_counter() - start) / n_events
showers

# %% [markdown]
# One in five is kept aside: the GAN never sees these, and they judge it in the end.

# %%
train, test = showers.split(test=0.2, seed=seed)
train, test

# %% [markdown]
# ## 2. Are they right?
#
# A reference run of a thousand 10 GeV electrons in this calorimeter put 2.05 % of their energy into the silicon, at a mean depth of
# 45.0 mm. A fresh sample on a wider window must agree within 2 % and three standard errors. (The original simulation of CLIC, with its
# more detailed gaps between layers, sees 2.18 %.)

# %%
checks = cl.simulate.showers("clic-ecal-51", events=n_checks, energy=10, seed=seed + 1)
visible = cl.validation.visible_energy(checks)
depths, _ = cl.validation.moments(checks, "z")
mean_depth = np.average(depths, weights=visible)  # the mean over all deposits, not over showers

fraction_error = np.std(visible / 10) / np.sqrt(n_checks)
depth_error = np.std(depths) / np.sqrt(n_checks)
print(f"visible fraction {np.mean(visible / 10):.4f} +- {fraction_error:.4f}, expected 0.0205")
print(f"mean depth       {mean_depth:.1f} +- {depth_error:.1f} mm, expected 45.0 mm")

fraction_agrees = abs(np.mean(visible / 10) - 0.02054) < 0.02 * 0.02054 + 3 * fraction_error
depth_agrees = abs(mean_depth - 45.0) < 0.02 * 45.0 + 3 * depth_error

# %% [markdown]
# ## 3. A GAN for this calorimeter
#
# 3DGAN paints a shower from 200 random numbers, scaled by the energy that is asked for. Its discriminator tells real from generated,
# and also estimates the incident energy and adds up the deposits.

# %%
gan = cl.models.build("3dgan", train.space)
gan

# %% [markdown]
# ## 4. Engines
#
# `%ipcluster start` starts engines on this machine; with `--engines mpi`, `srun` or `slurm` they start on a cluster, and nothing below
# changes. They outlive this kernel: after a restart the same line finds them again.

# %%
# engines = %ipcluster start -n $n_engines
engines

# %% [markdown]
# ## 5. Train on all engines
#
# `fit` returns at once. Each engine holds a part of the events; after each pass Horovod averages the gradients over all of them.
# Training stops after `epochs`, or after the step that passes `time_limit`. The monitor is live: bars per rank, losses, and a button
# that really stops the training.

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
# The monitor again, as it stands at the end: the losses of every step.

# %%
monitor

# %% [markdown]
# What do several engines gain? The same training on one of them, for a few steps, gives the ratio.

# %%
few = train.select(slice(0, 4 * batch_size))
fresh = cl.models.build("3dgan", train.space)
alone = cl.distributed.fit(engines, fresh, few, epochs=1, time_limit=time_limit and 30, ranks=1, **options).wait()

on_one, on_all = alone.samples_per_second, history.samples_per_second
f"{on_one:.1f} samples/s on one engine, {on_all:.1f} on {len(engines)}: {on_all / on_one:.2f} times as fast"

# %% [markdown]
# ## 6. Generate, and compare with Geant4
#
# Each kept-aside Geant4 shower gets a generated partner of the same energy. Every distance stands beside its floor: what two Geant4 samples
# of this size would show between themselves.

# %%
generated = gan.generate(test.labels, seed=seed)
report = cl.validation.compare(test, generated)
report

# %%
report.plot()

# %% [markdown]
# ## 7. Look at showers
#
# Geant4 on the left, generated on the right. The slider, or the arrow keys, move through the calorimeter; everything is drawn in your
# browser, so it moves while the kernel is busy.

# %%
viewer = cl.widgets.SliceViewer(test, generated)
viewer

# %% [markdown]
# Mean profiles along and across the shower, for any range of energies:

# %%
explorer = cl.widgets.ProfileExplorer(test, generated)
explorer

# %% [markdown]
# What has the GAN learned about energy? The same random numbers at every energy; only the slider changes the shower.

# %%
interpolation = cl.widgets.EnergyInterpolation(gan.traverse, energies=energies, reference=test)
interpolation

# %% [markdown]
# ## 8. What it took, and what a full training takes
#
# Geant4 and the generator used the same cores, so the ratio of their times is a speed-up.

# %%
many = {"energy": np.linspace(*energies, 64)}
gan.generate(many, seed=seed)
start = perf_counter()
gan.generate(many, seed=seed)
generation_seconds = (perf_counter() - start) / 64

published = 200_000 * 50  # events times epochs
seen = sum(row["events"] for row in history.rows)  # an event counts in every epoch that uses it
errors = [step["real_auxiliary"] for step in run.losses]  # of the discriminator's energy estimate, in percent
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
print(f"trained for                  {history.steps:8d} steps, {seen / len(train):.1f} times through {len(train)} showers")
print(f"on                           {cl.cpu.report()}")
print(f"published training           {published / on_all / 86400:8.1f} days on these engines")
print(f"energy estimate is off by    {last_error:8.0f} % in the last steps, {first_error:.0f} % in the first (blind guess {guess:.0f} %)")
print(f"generated / Geant4 energy    {response:8.2f}")
print(f"furthest from Geant4         {distance.value:8.2f} separation of {worst.label} (chance: {distance.floor:.2f})")

# %% [markdown]
# The speed is real; the physics is not there yet: the separation says how far the worst observable is from Geant4 (0 is equal, 1 has
# nothing in common). The published training sees 200,000 showers fifty times. `CALOLAB_SIZE=full` asks for it, on as many engines as
# you have.

# %% [markdown]
# ## 9. What must hold
#
# Whatever the size of the run: the Geant4 showers agree with the reference figures, all ranks hold the same weights, all losses are
# finite, and after 20 steps or more the discriminator estimates energies better than in its first steps.

# %%
assert fraction_agrees and depth_agrees
assert len(set(run.digests)) == 1, run.digests
assert history.steps == len(errors) >= 1
assert all(np.isfinite(value) for step in run.losses for value in step.values())
assert history.steps < 20 or last_error < first_error, errors

# %%
# %ipcluster stop
