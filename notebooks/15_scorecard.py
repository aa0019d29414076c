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
# # The scorecard: two samples, one table
#
# Is a generator good enough? Papers answer with a handful of numbers: separation powers, FPD and KPD, the AUC of classifiers, precision and
# recall. Each of them is sensitive to some faults and not to others, and each depends on the number of events. `cl.validation.scorecard`
# calculates all of them, each with its *floor*: the same number for two sets of real showers. This notebook
#
# 1. simulates electrons with Geant4;
# 2. compares them with the parametrised showers of GFlash;
# 3. injects known faults into real showers, one at a time, and shows which metric finds which fault;
# 4. shows how floors and errors depend on the number of events;
# 5. saves and reads a scorecard.

# %% [markdown]
# ## Parameters
#
# `CALOLAB_SIZE` selects the size of the run: `test` takes less than a minute, `demo` about ten minutes on two cores, mostly for the
# convolutional classifier, and `full` uses as many showers as a publication.

# %% tags=["parameters"]
import os

size = os.environ.get("CALOLAB_SIZE", "demo")
events, energy, metrics, shares = {
    "test": (440, (2, 8), ["energy", "separation", "frechet", "auc.trees", "neighbours", "correlations"], (1,)),
    "demo": (6_000, (10, 50), None, (1, 2, 4)),
    "full": (40_000, (10, 100), None, (1, 3, 9)),
}[size]  # Geant4 showers in all, their incident energies [GeV], metrics (None: all), and parts of the showers in section 4
seed = 7

# %%
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

import calolab as cl

# %% [markdown]
# ## 1. Real showers
#
# Half of the showers are the reference, and a quarter is used as the training sample of a generator. The last quarter is what a perfect
# generator would make: showers with the same distribution that are not in the other samples.

# %%
showers = cl.simulate.showers("clic-ecal", events=events, energy=energy, seed=seed)
reference, rest = showers.split(test=0.5, seed=seed)
train, perfect = rest.split(test=0.5, seed=seed)
showers

# %% [markdown]
# ## 2. GFlash against Geant4
#
# GFlash parametrises the average shower and its main fluctuations (hep-ex/0001020). Its profiles are good, but it does not model the
# correlations between cells.

# %%
gflash = cl.simulate.showers("clic-ecal", len(perfect), energy=energy, seed=seed, method="gflash", progress=False)
card = cl.validation.scorecard(
    reference, {"GFlash": gflash, "perfect": perfect}, train=train, metrics=metrics, reference_name="Geant4", seed=seed
)
card

# %% [markdown]
# In the row of a metric, a tick marks values within twice the uncertainty of the floor, or better. The second sample is real, so nearly all
# of its values should have a tick: of forty numbers at two standard deviations, one or two miss it by chance.

# %%
card.plot()

# %% [markdown]
# ## 3. Which metric finds which fault
#
# Now one fault at a time, injected into real showers:
#
# * **scale**: all energies are 3 % too high;
# * **layers mixed**: each layer is taken from another shower of nearly the same energy, so every layer is right, but the correlations
#   between layers are wrong;
# * **too smooth**: a part of each cell's energy is shared with its neighbours;
# * **repeated**: the generator repeats its training showers.


# %%
def changed(sample, values):
    """The sample with other values."""
    return cl.Sample(values, sample.labels, sample.space, sample.origin)


def layers_mixed(sample, random):
    """Each layer from another of the showers that are next in energy."""
    order, values = np.argsort(sample.labels["energy"]), np.empty_like(sample.values)
    for layer in range(sample.values.shape[-1]):
        moved = np.argsort(np.arange(len(order)) + random.uniform(0, 8, len(order)))  # at most eight places away
        values[order, :, :, layer] = sample.values[order[moved], :, :, layer]
    return changed(sample, values)


def too_smooth(sample, share=0.2):
    """A share of each cell's energy spread over its neighbours in the layer; the energy of a layer is conserved."""
    spread = gaussian_filter(sample.values, sigma=(0, 0.7, 0.7, 0))
    return changed(sample, (1 - share) * sample.values + share * spread)


random = np.random.default_rng(seed)
faults = {
    "scale": changed(perfect, 1.03 * perfect.values),
    "layers mixed": layers_mixed(perfect, random),
    "too smooth": too_smooth(perfect),
    "repeated": train,
}
found = cl.validation.scorecard(
    reference, faults, train=train, metrics=metrics, reference_name="Geant4", seed=seed
)
found

# %% [markdown]
# Read the table by columns. A wrong **scale** changes the response and all metrics that depend on an energy. With **mixed layers** every
# distribution of a single layer stays right: separation powers do not find the fault, the correlations do. **Too smooth** cells have the
# right energies and profiles, and a wrong cell spectrum and occupancy. The **repeated** showers are perfect in every metric but one,
# because they are real: only the comparison with the training sample finds that the generator made nothing new.

# %%
found.plot()

# %% [markdown]
# ## 4. How far can a number be trusted?
#
# A floor is not zero, because two samples of real showers differ by chance. For separation powers it falls as one over the number of events.
# FPD is extrapolated to infinitely many events, and KPD is unbiased: their floors scatter about zero. The AUC of real against real showers is
# 0.5 for any number of events, but a classifier that is trained with few events misses differences that more events would show: compare AUCs
# for equal numbers of events only.

# %%
for share in shares:
    few = {"GFlash": gflash.select(slice(0, len(gflash) // share))}
    some = reference.select(slice(0, len(reference) // share))
    one = cl.validation.scorecard(
        some, few, metrics=["separation.mean", "kpd", "auc.trees"], reference_name="Geant4", seed=seed, progress=False
    )
    numbers = [f"{name} {entry.value:.3g} (floor {entry.floor:.2g})" for name, entry in one["GFlash"].items()]
    print(f"{one.events['compared']:5} events: {', '.join(numbers)}")

# %% [markdown]
# ## 5. Keeping results
#
# A scorecard is a record: it can be saved as JSON, read again, and shown next to scorecards of other generators for the same reference.
# Files are scored without a notebook by `python -m calolab.validation reference.h5 generated.h5 --out DIR`.

# %%
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "scorecard.json"
path.write_text(card.to_json())
again = cl.validation.Scorecard.from_json(path.read_text())
print(f"{path.stat().st_size / 1e3:.0f} kB; most similar to Geant4: {again.beside(found).ranking('separation.mean')[0]}")

# %% [markdown]
# ## Exercises
#
# 1. Inject another fault, e.g. showers that are all at the centre of their cell, and find the metric that is sensitive to it.
# 2. Which metric finds a generator that makes 5 % of the showers with half of their energy?
# 3. Replace GFlash with your own generator: `gan.generate(reference.labels, seed=1)`.

# %% tags=["hide-output"]
faults_found = found.results
assert faults_found["scale"]["response"].value > 0.02 and not faults_found["scale"]["response"].at_floor
assert not faults_found["layers mixed"]["correlations.layers"].at_floor
assert faults_found["layers mixed"]["correlations.layers"].value > faults_found["too smooth"]["correlations.layers"].value
assert faults_found["too smooth"]["separation.cells"].value > 3 * faults_found["repeated"]["separation.cells"].value
assert faults_found["repeated"]["memorised"].value > 0.9 > faults_found["scale"]["memorised"].value
assert card["GFlash"]["auc.trees"].value > 0.8 > card["perfect"]["auc.trees"].value
assert again.to_json() == card.to_json()
