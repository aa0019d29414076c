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
# # The shipped generator: what it is, and how good it is
#
# `cl.models.load("calolab-fast")` loads a trained generator of electron showers that is part of calolab. Before you use it in place of
# Geant4 you must know which of its distributions are right, to which accuracy, and where it must not be used. This notebook
#
# 1. shows what the generator is, with its model card;
# 2. generates showers with the energies of Geant4 showers that were not used for its training;
# 3. compares response, profiles, hits, neighbouring hits and correlations;
# 4. asks classifiers how well they tell the two samples apart, and by which features;
# 5. checks for memorised showers, the behaviour outside the range of validity, and the speed;
# 6. collects everything in a table of targets.

# %% [markdown]
# ## Parameters
#
# `CALOLAB_SIZE` selects the size of the run: `test` takes less than a minute and `demo` a few minutes on two cores, half of them for the
# convolutional classifier; `full` repeats the trainings of the classifiers, which makes their AUC more precise.

# %% tags=["parameters"]
import os

import numpy as np

size = os.environ.get("CALOLAB_SIZE", "demo")
cheap = ["energy", "separation", "kpd", "auc.trees", "neighbours", "correlations", "images"]
events, metrics, trainings, outside = {
    "test": (200, ["separation.mean", "auc.trees"], None, np.repeat([2.0, 5.0], 32)),
    "demo": (1_000, cheap, None, np.repeat([2.0, 5.0, 8.0, 120.0], 32)),
    "full": (1_000, None, 5, np.repeat([2.0, 5.0, 8.0, 120.0, 200.0], 128)),
}[size]  # showers, metrics of the scorecard (None: all), trainings of each classifier in section 12 (None: five of trees, one of the
# network), and energies outside the range of validity [GeV]
batch_size = 64 if size == "test" else 128  # showers that are generated at a time
threshold = 3e-5  # lowest energy of a hit [GeV]
seed = 7

# %%
import warnings
from time import perf_counter

import calolab as cl
from calolab.tables import Table

# %% [markdown]
# ## 1. The generator and its model card
#
# These generators are part of calolab:

# %%
cl.models.shipped()

# %% [markdown]
# The file of a generator contains its model card: what it was trained on, for which energies it was validated, how it scored on showers
# that it had not seen, and its known flaws, which are the targets of section 12 that it missed on these showers.

# %%
gan = cl.models.load("calolab-fast")
gan

# %% [markdown]
# `calolab-fast` makes a shower in three steps:
#
# 1. **Quantities of layers.** From random numbers and the energy of the electron, a *conditional flow* makes seven numbers for each of the
#    25 layers: the number of hits, the energy per hit, the fractions of the energy in the central cell and in the eight cells around it,
#    the centre in x and in y, and the spread outside. A flow transforms normally distributed random numbers, in small steps, into numbers
#    with the distribution and the correlations of the training showers (flow matching, arXiv:2210.02747).
# 2. **Cells.** The cells are drawn in fifteen passes. Each pass draws some of the cells, by probabilities that a small network calculates
#    from the cells that are already known, from the quantities of the layer, and from what is left of them: hits, energies, centre and
#    spread. The network was trained by maximum likelihood with the cells of later passes masked: which cells are hit, and the spectrum of
#    their energies.
# 3. **Consistency and calibration.** Numbers and energies of the hits of one pass vary as much as those of real showers do, which was measured
#    after the training. Then each energy is moved along its own distribution, all as little as possible, so that the layer has its energy. What
#    remains of differences in frequencies and spectra of the hits was measured as well, and is corrected.
#
# So energies and shapes of layers are due to the flow, and the texture of the cells is due to the passes. This helps to locate a fault.
# What was tried to improve the generator is in [the log](../docs/generator-log.md).

# %% [markdown]
# ## 2. Geant4 and generated showers
#
# `clic-electrons-demo` is a packaged sample of Geant4 showers; trainings leave it out. The generator makes one shower for each of its
# energies. (The first call compiles the networks. Its time is not the speed of the generator, which is measured in section 11.)

# %%
geant4 = cl.datasets.load("clic-electrons-demo").select(slice(0, events))
generated = gan.generate(geant4.labels, seed=seed, batch_size=batch_size)
both = {"Geant4": geant4, "calolab-fast": generated}
geant4

# %% [markdown]
# One shower of each, at the same energy. They should not be equal: the energy fixes the mean shower, and both are random. Compare the
# character of the two: a dense core of a few cells, single hits far from the axis, and gaps between them.

# %%
nearest_to_50 = int(np.argmin(np.abs(geant4.labels["energy"] - 50)))
cl.plots.showers.views(both, nearest_to_50)

# %% [markdown]
# The mean over all showers, and the ratio. In the core, where nearly all of the energy is, the ratio should be close to one (white). Far
# from the axis only a few showers contribute, so there the colours are mostly statistical noise; a coherent colour over many cells is a
# fault.

# %%
cl.plots.showers.views(both)

# %% [markdown]
# ## 3. Response and resolution
#
# The calorimeter samples the shower: only about 2 % of the energy is deposited in silicon. Left: the mean visible fraction, which gives the
# energy scale; it falls because showers of high energy leave more energy behind the last layer. Right: its relative width, the energy
# resolution, with a fit of the form $a/\sqrt{E} \oplus b$. A wrong mean shifts all reconstructed energies. A wrong width would make an
# analysis too optimistic or too pessimistic. The error bars of the width are the larger ones: the width of a distribution needs more
# showers than its mean.

# %%
report = cl.validation.compare(geant4, generated, threshold, names=("Geant4", "calolab-fast"))
cl.plots.comparison.response(report)

# %%
report.plot(["visible_energy", "visible_fraction"])

# %% [markdown]
# In each panel *S* is the separation power, the difference between two histograms (0: equal, 1: no overlap), with its *floor*: the same
# number for two samples of real showers of this size. KS and W₁ are other distances. A value at its floor means that these showers cannot
# show a difference.

# %% [markdown]
# ## 4. Longitudinal and transverse profiles
#
# Energy along the depth and across the shower, averaged over all showers. The longitudinal profile rises while the shower multiplies and
# falls when its particles are absorbed; not all of them are absorbed before the last layer. Across the shower, note the logarithmic axis:
# one row of cells holds most of the energy, and the tails are lower by orders of magnitude.

# %%
report.plot(["profile_z", "profile_x", "profile_y"])

# %% [markdown]
# The mean can be right while the fluctuations are wrong, so here are distributions over showers: the depth of the centre of energy and of
# the maximum, the spread along the depth and across, and the radius that contains 90 % of the energy. The fluctuations of the depth are
# mostly due to the point of the first interaction.

# %%
report.plot(["first_moment_z", "maximum", "second_moment_z", "second_moment_x", "second_moment_y", "containment_radius"])

# %% [markdown]
# ## 5. Hits and their energies
#
# A hit is a cell with at least 0.03 MeV, well below what a minimum-ionising particle deposits. The spectrum of the cells has its maximum at
# a few tenths of a MeV, the deposit of one or two such particles, and reaches to the cells of the core, hundreds of times above. There are
# hundreds of hits per shower, so even a ratio that differs from one by a few per cent is significant here, and classifiers find it.

# %%
report.plot(["hits", "sparsity", "cell_spectrum"])

# %% [markdown]
# ## 6. Neighbouring hits
#
# Hits cluster, because a particle leaves energy in several cells and makes others close by. The figure shows how often a cell is hit if
# another one in the same layer is hit, by the distance of the two: at 1 they share an edge, at 1.4 a corner. A generator that draws cells
# independently of each other can have the right profile and the right number of hits, and still a wrong ratio at distance 1. Clustering
# algorithms are sensitive to this.

# %%
thresholds = {"all hits": threshold, "hits above 0.5 MeV": 5e-4}  # [GeV]
pairs = {kind: {} for kind in thresholds}
for kind, lowest in thresholds.items():
    for name, sample in both.items():
        distances, pairs[kind][name] = cl.validation.hit_pairs(sample, lowest)
cl.plots.hit_pairs.show(distances, pairs, f"{geant4.space.name}, {events:,} showers each")

# %% [markdown]
# ## 7. Correlations of layers
#
# A shower that starts late has less energy in the first layers and more in the last ones: nearby layers are correlated (red), early and
# late ones are anticorrelated. The right panel is the difference, in a narrower colour scale. Statistical noise changes sign from cell to
# cell; a block of one colour is a fault. The number in its title is the mean difference, with the floor of two Geant4 samples.

# %%
cl.plots.comparison.correlations(report)

# %% [markdown]
# ## 8. The scorecard and the classifiers
#
# The figures above compare one or two quantities at a time. The [scorecard](15_scorecard.ipynb) adds the usual numbers of publications,
# each with its floor. A tick marks values within twice the uncertainty of the floor.

# %%
card = cl.validation.scorecard(
    geant4, {"calolab-fast": generated}, metrics=metrics, reference_name="Geant4", seed=seed, progress=False
)
card

# %%
card.plot()

# %% [markdown]
# The strictest test is a classifier that is trained to tell the two samples apart. Its area under the ROC curve (AUC) is the probability
# that it finds a random generated shower more "generated" than a random Geant4 shower: 0.5 is chance, and 1 means that it recognises every
# shower. *Trees* use features of the shower (energies, centres, widths and hits of layers), a convolutional network (*CNN*) uses the cells.
# An AUC grows with the number of showers in the training, so compare it only with values for equal numbers; those in the model card were
# measured with more showers.
#
# Which features give the showers away? Trees that use the energy and *one* group of features answer this. A group with an AUC near 0.5 is
# well described. (`hit_energies` is the spectrum of the hits in seven bins, `layer_hits` the number of hits in each layer.) The errors are
# about the same for all groups, so a difference of less than two errors says nothing.

# %%
real = cl.validation.features.shower_features(geant4, threshold)
made = cl.validation.features.shower_features(generated, threshold, radii=real.radii)
alone = {}
for group in real.groups:
    columns = [np.column_stack([np.log(one.energy), one.group(group)]) for one in (real, made)]
    alone[group] = cl.validation.tree_test(*columns, seed=seed, trainings=min(events // 200, 5), progress=False)
examples = {column.group: column.label for column in reversed(real.columns)}
rows = [
    (group, examples[group], real.group(group).shape[1], f"{found.auc:.3f} ± {found.error:.3f}")
    for group, found in sorted(alone.items(), key=lambda pair: -pair[1].auc)
]
header = ("group", "its first feature", "features", "AUC of trees")
Table(rows, header, right=(2, 3), title=f"{events:,} Geant4 and {events:,} generated showers")

# %% [markdown]
# ## 9. Memorised showers
#
# A generator that repeats its training showers would be perfect in all comparisons above, and useless: it would have no more statistical
# power than the training sample. The check needs the training showers, which are not part of calolab. It was made when the generator was
# scored: `memorised` in the model card is the probability that a generated shower is closer to the training sample than a real shower is. A
# generator without memory has the value of the floor, 0.5.

# %%
memorised = gan.card.scores["memorised"]
print(f"memorised {memorised.value:.3f}, floor {memorised.floor:.3f} ± {memorised.floor_spread or 0:.3f}")

# %% [markdown]
# ## 10. Outside the range of validity
#
# A network always returns something, also for energies that it has never seen. The model card holds the range for which the generator was
# validated, and `generate` warns outside of it. A warning is not an error: you may extrapolate, but then you have to validate.

# %%
with warnings.catch_warnings(record=True) as caught:  # to print the warning instead of showing it in red
    warnings.simplefilter("always")
    extrapolated = gan.generate({"energy": outside}, seed=seed, batch_size=batch_size)
print(*(one.message for one in caught), sep="\n")

# %% [markdown]
# How wrong would it be? Geant4 showers at these energies show it. Compare the differences with the statistical errors.

# %%
cl.simulate.showers("clic-ecal", 1, energy=1, seed=seed, progress=False)  # makes Geant4's tables, before the time is measured
start = perf_counter()
simulated = cl.simulate.showers("clic-ecal", len(outside), energy=outside, seed=seed + 1, progress=False)
geant4_ms = 1e3 * (perf_counter() - start) / len(outside)
rows = []
for energy in np.unique(outside):
    chosen = [one.select(one.labels["energy"] == energy) for one in (simulated, extrapolated)]
    fractions = [cl.validation.visible_fraction(one) for one in chosen]
    hits = [cl.validation.hits(one, threshold) for one in chosen]
    texts = [f"{100 * one.mean():.3f} ± {100 * one.std() / len(one) ** 0.5:.3f} %" for one in fractions]
    rows.append((f"{energy:g} GeV", *texts, *(f"{one.mean():.0f}" for one in hits)))
header = ("energy", "visible, Geant4", "visible, calolab-fast", "hits, Geant4", "hits, calolab-fast")
Table(rows, header, right=range(1, 5))

# %% [markdown]
# ## 11. Speed
#
# The time per shower on this machine, of the Geant4 showers of the last section and of as many generated ones. Both use all cores. The time
# of Geant4 is nearly proportional to the energy; that of the generator does not depend on it, so the gain is largest at high energies. A
# single shower takes longer than one of many that are generated together; the table of targets has both.

# %%
start = perf_counter()
gan.generate({"energy": geant4.labels["energy"][: len(outside)]}, seed=seed, batch_size=batch_size)
generator_ms = 1e3 * (perf_counter() - start) / len(outside)

# %% tags=["summary"]
print(f"Geant4        {geant4_ms:8.2f} ms per shower, mean energy {outside.mean():.1f} GeV")
print(f"calolab-fast  {generator_ms:8.2f} ms per shower, {batch_size} at a time: {geant4_ms / generator_ms:.0f} times as fast")

# %% [markdown]
# ## 12. The table of targets
#
# Before a generator is shipped, it is measured against limits that were fixed beforehand. A target is *met* if the deviation is within the
# limit, *not met* if it exceeds the limit by more than the statistical error, and otherwise *undecided*. With as few showers as here, many
# resolutions are undecided. The known flaws in the model card are the targets that were not met with more showers.
# [Studies](../docs/studies.md) explains every line.

# %%
targets = cl.studies.shower_targets(geant4, generated)
if size != "test":  # the classifiers and the speed take minutes
    targets += cl.studies.judge_targets(geant4, generated, seed=seed, trainings=trainings, progress=False)
    targets += cl.studies.speed_targets(gan, geant4.labels, seed=seed, batch_size=batch_size)
cl.studies.targets.table(targets, f"calolab-fast against {events:,} Geant4 showers")

# %% [markdown]
# ## Use it
#
# The generator is right for your purpose if the targets that matter to you are met. For trigger rates the response matters, for clustering
# the neighbouring hits, for electron identification the shapes. Nothing here is about other particles, angles or detectors: train your own
# generator for those with `python -m calolab.studies.shipped`.
#
# ## Exercises
#
# 1. Select the showers above 50 GeV, `geant4.select(geant4.labels["energy"] > 50)`, and the same of `generated`. Do the classifiers find
#    them easier?
# 2. Write an observable of your own, e.g. the ratio of the energies in the first and the last ten layers. Is it right?
# 3. Replace `generated` with showers of GFlash, `cl.simulate.showers("clic-ecal", events, energy=geant4.labels["energy"], seed=1,
#    method="gflash")`. Which section shows the difference first?

# %% tags=["hide-output"]
assert gan.card.detector == geant4.space.name and "memorised" in gan.card.scores
assert np.isfinite(generated.values).all() and (generated.values >= 0).all()
low, high = gan.card.validity["energy"]
assert low <= geant4.labels["energy"].min() and geant4.labels["energy"].max() <= high
assert len(caught) == 1 and "validated" in str(caught[0].message)
assert abs(generated.values.sum() / geant4.values.sum() - 1) < 0.05
assert not np.array_equal(generated.values[0], generated.values[1])
again = gan.generate({"energy": geant4.labels["energy"][:batch_size]}, seed=seed, batch_size=batch_size)
assert np.allclose(again.values, generated.values[:batch_size], atol=1e-5 * generated.values.max())
