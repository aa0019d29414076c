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
# # Whole events: a GAN validated with jets
#
# In some theories of supersymmetry R-parity is violated (RPV): a pair of gluinos decays to ten quarks, which the detector sees as many
# jets. A search for such events needs more simulated events than Geant4 can produce. In this notebook a GAN learns to generate them, as
# images of the whole detector:
#
# 1. simulate RPV events with Pythia and the calorimeter towers of the ATLAS card of Delphes;
# 2. find their jets with FastJet;
# 3. train the published DCGAN, and select the best epoch with jets;
# 4. compare generated and simulated events in jet multiplicity, mass and other variables, with statistical floors;
# 5. try other objectives, and observe how the loss of a Wasserstein critic changes.
#
# The method is that of the "RPV GAN" of NERSC and ATLAS (EPJ Web Conf. 214 (2019) 09005); the events are our own.

# %% [markdown]
# ## Parameters
#
# `CALOLAB_SIZE` selects the size of the run: `test` takes one minute, `demo` a few minutes, `hour` about one hour of training on two cores;
# `full` is the published size with the best hyper-parameters of the published scan, for a cluster.

# %% tags=["parameters"]
import os
from pathlib import Path

size = os.environ.get("CALOLAB_SIZE", "demo")
quick = {"power": 0.3}, {"learning_rate": 5e-4}
best_of_scan = {"latent_size": 16, "filters": 128}, {"learning_rate": 1e-4, "batch_flip": 0.135}
n_train, n_test, epochs, batch_size, networks, changes, wgan_epochs = {
    "test": (128, 64, 2, 32, *quick, 2),
    "demo": (4_000, 1_000, 8, 16, *quick, 12),
    "hour": (20_480, 4_096, 40, 16, {"power": 0.3}, {}, 20),
    "full": (412_416, 4_096, 64, 64, *best_of_scan, 64),
}[size]  # number of events for training; for the selection of the epoch, and in the test sample
masses = {"gluino_mass": 1400, "neutralino_mass": 850}  # GeV
seed = 7

# %%
from time import perf_counter

import numpy as np

import calolab as cl
from calolab.plots import event_images

# %% [markdown]
# ## 1. RPV events
#
# Pythia simulates proton-proton collisions at 13 TeV that produce pairs of gluinos. Each gluino decays to two quarks and a neutralino, which
# decays to three quarks. The stable particles propagate through the solenoid to calorimeter towers with the segmentation and resolution of
# the ATLAS card of Delphes. The tower energies are summed in 64 x 64 bins of eta and phi.

# %%
start = perf_counter()
events = cl.simulate.collisions("rpv", n_train + 2 * n_test, seed=seed, output="images", **masses)
pythia_seconds = (perf_counter() - start) / len(events)
events

# %% [markdown]
# The origin of the events contains the leading-order cross section of Pythia. That of the ATLAS sample with these masses is 0.0144 pb.

# %%
cross_section, error = events.origin["cross_section"], events.origin["cross_section_error"]
print(f"{1e3 * cross_section:.2f} +- {1e3 * error:.2f} fb")

# %% [markdown]
# One part of the events is for training, one for the selection of the best epoch, and one is the test sample.

# %%
train = events.select(slice(0, n_train))
selection = events.select(slice(n_train, n_train + n_test))
test = events.select(slice(n_train + n_test, None))

# %% [markdown]
# ## 2. Jets
#
# The search uses large-radius jets: anti-kt with R = 1.0, pt > 200 GeV and |eta| < 2. Each pixel is treated as one massless particle.

# %%
jets = cl.jets.cluster(test)
jets

# %% [markdown]
# Four events with their jets. Phi is periodic, so a jet can extend over the upper edge to the lower one.

# %%
event_images.gallery({"Pythia and towers": test}, {"Pythia and towers": jets}, events=4)

# %% [markdown]
# How many events would the search select? Its signal regions require at least four (five) jets with a summed mass of 800 (600) GeV:

# %%
{region: f"{selected.mean():.1%}" for region, selected in cl.jets.signal_regions(jets).items()}

# %% [markdown]
# ## 3. A score based on jets
#
# The losses of a GAN say little about physics. Therefore each epoch is evaluated with jets: `ks_comb` is the sum of -log p of three
# Kolmogorov-Smirnov tests, of jet pt, multiplicity and summed mass. The best value is 0, and each test is limited to 700. The score grows
# with the number of events; the distances do not. The floor is the score of simulated events against each other:

# %%
half = len(selection) // 2
cl.validation.compare_jets(selection.select(slice(0, half)), selection.select(slice(half, None)), seed=seed)

# %%
score = cl.training.PhysicsScore(cl.validation.jet_score(selection, seed=seed))

# %% [markdown]
# ## 4. Training
#
# The published DCGAN has a generator with transposed convolutions, from 64 random numbers to an image in GeV, a discriminator with the
# mirrored layers, binary cross-entropy and Adam. The published networks use the energies unchanged (`"power": 1`). In the shorter runs
# energies are raised to the power 0.3, which makes the many pixels with low energy more important, and batches are smaller, which gives
# more steps. After each epoch the GAN generates as many events as the selection sample has, and the weights of the best epoch are kept.
# (`cl.distributed.fit(engines, ...)` takes the same arguments and trains on all engines of an `%ipcluster`.)

# %%
gan = cl.models.build("rpv", train.space, seed=seed, **networks)
recipe = cl.training.Recipe.published("rpv", **changes)
gan

# %% [markdown]
# Long trainings save a checkpoint after every epoch: after an interruption this cell resumes from the last one.

# %%
folder = Path(f"checkpoints_10_{size}") if size in ("hour", "full") else None
resume = folder is not None and (folder / "checkpoint.npz").exists()
history = cl.training.fit(
    gan, train, epochs=epochs, batch_size=batch_size, recipe=recipe, physics_score=score, seed=seed,
    checkpoints=folder, resume=resume,
)
history

# %%
history.plot()

# %% [markdown]
# The score of each epoch, and the selected epoch:

# %%
best = gan.provenance["trainings"][-1]["best"]
names = "ks_jet_pt", "ks_multiplicity", "ks_summed_mass"
floor = history.floor("ks_comb")
cl.plots.jets.selection(history.scores("ks_comb"), floor, parts={name: history.scores(name) for name in names}, chosen=best["epoch"])

# %% [markdown]
# ## 5. Results
#
# The test sample was used neither for the training nor for the selection of the epoch. Next to every distance is its floor.

# %%
generated = gan.generate(len(test), seed=seed)
report = cl.validation.compare_jets(test, generated, seed=seed)
report

# %%
if folder is not None:
    gan.save(folder / "rpv.gan")
    (folder / "report.json").write_text(report.to_json())

# %%
report.plot()

# %% [markdown]
# Single generated events, and the average over all events. The difference is in units of its statistical uncertainty.

# %%
event_images.gallery({"simulated": test, "generated": generated}, {"simulated": jets, "generated": cl.jets.cluster(generated)}, events=3)

# %%
event_images.averages(test, generated)

# %%
event_images.pixel_spectrum(cl.validation.pixel_spectra(test, generated))

# %% [markdown]
# The same interactively: select the sample and the event, and see multiplicity and mass.

# %%
comparison = cl.widgets.JetComparison(test, generated)
comparison

# %% [markdown]
# ## 6. Other objectives
#
# The objective of generator and discriminator is set in the recipe, not in the networks: `"minimax"`, `"hinge"` (with
# `spectral_norm=True`), `"wgan-gp"` or `"optimal-transport"`. Here it is a Wasserstein critic with gradient penalty. The critic is updated
# more often than the generator, and its loss estimates the distance between simulated and generated events, so its absolute value should
# decrease during training. If it diverges, the history says so.

# %%
critic_recipe = cl.training.Recipe.published(
    "rpv", objective="wgan-gp", discriminator_passes=5, learning_rate=1e-4, betas=(0.0, 0.9)
)
wgan = cl.models.build("rpv", train.space, seed=seed, batch_norm=False, **(networks | {"power": 1}))
wgan_history = cl.training.fit(wgan, train, epochs=wgan_epochs, batch_size=batch_size, recipe=critic_recipe, seed=seed)
wgan_history.plot_beginning()

# %%
wgan_history.divergence or "no loss diverges"

# %%
wgan_report = cl.validation.compare_jets(test, wgan.generate(len(test), seed=seed), seed=seed)
print(f"ks_comb: DCGAN {report['ks_comb'].value:.0f}, WGAN-GP {wgan_report['ks_comb'].value:.0f}")

# %% [markdown]
# ## 7. Computing time

# %%
start = perf_counter()
gan.generate(1_000, seed=seed)
generation_seconds = (perf_counter() - start) / 1_000

# %% tags=["summary"]
multiplicity = report["multiplicity"]
print(f"Pythia, towers and image    {1e3 * pythia_seconds:8.2f} ms per event")
print(f"RPV GAN                     {1e3 * generation_seconds:8.2f} ms per event")
print(f"training                    {history.epochs[-1]['samples_per_second']:8.0f} events/s")
print(f"trained on                  {len(train):8d} events, {epochs} epochs")
print(f"best epoch                  {best['epoch'] + 1:8d}, ks_comb {best['score']:.1f}")
combined = report["ks_comb"]
print(f"ks_comb on {len(test)} test events  {combined.value:6.1f} (floor {combined.floor:.1f} +- {combined.floor_spread:.1f})")
print(f"mean multiplicity           {cl.jets.cluster(generated).multiplicity.mean():8.2f} generated, {jets.multiplicity.mean():.2f} simulated")

# %% [markdown]
# The published search reached a `ks_comb` of 16.7 on 4,096 events with the best of 32 sets of hyper-parameters, after 25 of 64 epochs on
# 412,416 events. `CALOLAB_SIZE=hour` trains for about one hour here, `full` has the published size.

# %% [markdown]
# ## 8. Checks
#
# For every size: the cross section of Pythia agrees with that of the ATLAS sample, the selected epoch has the best score, and the GAN has
# its weights.

# %%
assert abs(cross_section / 0.01436 - 1) < 0.1, cross_section
assert best["score"] == min(history.scores("ks_comb"))
assert score(gan)["ks_comb"].value == best["score"]
assert all(np.isfinite(value) for epoch in wgan_history.epochs for value in epoch["losses"].values())
