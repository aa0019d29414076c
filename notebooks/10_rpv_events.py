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
# # Whole events: a GAN judged by its jets
#
# Some theories of supersymmetry violate R-parity (RPV): a pair of gluinos ends in ten quarks, and the detector sees a storm of jets.
# A search for it needs more simulated events than Geant4 can make. Here a GAN learns to paint them, as images of the whole detector:
#
# 1. make RPV events with Pythia and the ATLAS card's calorimeter towers, here and now;
# 2. find their jets with FastJet;
# 3. train the published DCGAN, and let the jets choose the best epoch;
# 4. compare generated with real events in jet multiplicity, mass and more, beside the statistical floor;
# 5. see what other objectives do, and where a Wasserstein critic goes.
#
# The method is that of the "RPV GAN" of NERSC and ATLAS (EPJ Web Conf. 214 (2019) 09005); the events are our own.

# %% [markdown]
# ## Parameters
#
# `CALOLAB_SIZE` chooses the run: `test` takes a minute, `demo` minutes, `hour` about an hour of training on two cores, and `full` is the
# published size with the best hyper-parameters of the published scan, for a cluster.

# %% tags=["parameters"]
import os
from pathlib import Path

size = os.environ.get("CALOLAB_SIZE", "demo")
quick = {"power": 0.3}, {"learning_rate": 5e-4}
best_of_scan = {"latent_size": 16, "filters": 128}, {"learning_rate": 1e-4, "batch_flip": 0.135}
n_train, n_judge, epochs, batch_size, networks, changes, wgan_epochs = {
    "test": (320, 100, 2, 32, *quick, 2),
    "demo": (4_000, 1_000, 8, 16, *quick, 12),
    "hour": (20_480, 4_096, 40, 16, {"power": 0.3}, {}, 20),
    "full": (412_416, 4_096, 64, 64, *best_of_scan, 64),
}[size]  # events to train on; to choose the epoch by, and once more to judge by in the end
masses = {"gluino_mass": 1400, "neutralino_mass": 850}  # GeV
seed = 7

# %%
from time import perf_counter

import numpy as np

import calolab as cl
from calolab.plots import event_images

# %% [markdown]
# ## 1. RPV events, made on the spot
#
# Pythia collides protons at 13 TeV and makes pairs of gluinos. Each gluino decays to two quarks and a neutralino, and that to three
# quarks. What is stable flies through the solenoid into the towers of a calorimeter with the segmentation and resolution of Delphes's
# ATLAS card; their energies are summed in 64 x 64 bins of eta and phi.

# %%
start = perf_counter()
events = cl.simulate.collisions("rpv", n_train + 2 * n_judge, seed=seed, output="images", **masses)
pythia_seconds = (perf_counter() - start) / len(events)
events

# %% [markdown]
# The events come with Pythia's cross-section at leading order. The ATLAS sample with these masses quotes 0.0144 pb.

# %%
cross_section, error = events.origin["cross_section"], events.origin["cross_section_error"]
print(f"{1e3 * cross_section:.2f} +- {1e3 * error:.2f} fb")

# %% [markdown]
# Some are to learn from, some choose the best epoch, and some are kept aside for the verdict.

# %%
train = events.select(slice(0, n_train))
choosing = events.select(slice(n_train, n_train + n_judge))
test = events.select(slice(n_train + n_judge, None))

# %% [markdown]
# ## 2. Jets
#
# The search counts fat jets: anti-kt with R = 1.0, above 200 GeV and within |eta| < 2. A pixel counts as one massless particle.

# %%
jets = cl.jets.cluster(test)
jets

# %% [markdown]
# Four events with their jets drawn in. Phi is a circle, so a jet may leave at the top and come in at the bottom.

# %%
event_images.gallery({"Pythia and towers": test}, {"Pythia and towers": jets}, events=4)

# %% [markdown]
# How many would the search select? Its signal regions ask for at least four (five) jets of 800 (600) GeV summed mass:

# %%
{region: f"{selected.mean():.1%}" for region, selected in cl.jets.signal_regions(jets).items()}

# %% [markdown]
# ## 3. A score made of jets
#
# Losses of a GAN say little about physics. So each epoch is judged by its jets: `ks_comb` adds up the minus log p of three
# Kolmogorov-Smirnov tests, of jet pt, multiplicity and summed mass; 0 is perfect, and each is capped at 700. Its value grows with the
# number of events, so the distances stand beside it. What would real events score against real events? That is the floor:

# %%
half = len(choosing) // 2
cl.validation.compare_jets(choosing.select(slice(0, half)), choosing.select(slice(half, None)), seed=seed)

# %%
score = cl.training.PhysicsScore(cl.validation.jet_score(choosing, seed=seed))

# %% [markdown]
# ## 4. Train
#
# The published DCGAN: transposed convolutions from 64 random numbers to an image in GeV, a discriminator that mirrors them, binary cross
# entropy, Adam. Energies are linear as published: `"power": 1`; shorter runs show the networks their power 0.3, which brings the many
# faint pixels within reach, and take smaller batches, which gives more steps. After each epoch it generates as many events as are set aside for choosing, and the best epoch's weights are kept.
# (`cl.distributed.fit(engines, ...)` takes the same arguments and trains on all engines of an `%ipcluster`.)

# %%
gan = cl.models.build("rpv", train.space, seed=seed, **networks)
recipe = cl.training.Recipe.published("rpv", **changes)
gan

# %% [markdown]
# Long trainings leave a checkpoint after every epoch: interrupted, this cell goes on where it was.

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
# The score by epoch, and the epoch that was kept:

# %%
best = gan.provenance["trainings"][-1]["best"]
names = "ks_jet_pt", "ks_multiplicity", "ks_summed_mass"
floor = history.scores("floor_ks_comb")[0], history.scores("floor_spread_ks_comb")[0]
cl.plots.jets.selection(history.scores("ks_comb"), floor, parts={name: history.scores(name) for name in names}, chosen=best["epoch"])

# %% [markdown]
# ## 5. The verdict
#
# Events that neither trained the GAN nor chose its epoch. Every distance stands beside its floor.

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
# Single generated events, and the average over all. The difference is in units of its statistical uncertainty.

# %%
event_images.gallery({"real": test, "generated": generated}, {"real": jets, "generated": cl.jets.cluster(generated)}, events=3)

# %%
event_images.averages(test, generated)

# %%
event_images.pixel_spectrum(test, generated)

# %% [markdown]
# The same by hand: choose the sample and the event, and watch multiplicity and mass.

# %%
comparison = cl.widgets.JetComparison(test, generated)
comparison

# %% [markdown]
# ## 6. Other objectives
#
# What generator and discriminator play for is a choice of the recipe, not of the networks: `"minimax"`, `"hinge"` (with
# `spectral_norm=True`), `"wgan-gp"`, `"optimal-transport"`. Here a Wasserstein critic with gradient penalty. It learns more often
# than its generator, and its loss estimates the distance between real and generated events: it should fall, in size, as the
# generator learns. Where it runs away instead, the history says so.

# %%
critic_recipe = cl.training.Recipe.published(
    "rpv", objective="wgan-gp", discriminator_passes=5, learning_rate=1e-4, betas=(0.0, 0.9)
)
wgan = cl.models.build("rpv", train.space, seed=seed, batch_norm=False, **(networks | {"power": 1}))
wgan_history = cl.training.fit(wgan, train, epochs=wgan_epochs, batch_size=batch_size, recipe=critic_recipe, seed=seed)
wgan_history.plot_beginning()

# %%
wgan_history.divergence or "no loss runs away"

# %%
wgan_report = cl.validation.compare_jets(test, wgan.generate(len(test), seed=seed), seed=seed)
print(f"ks_comb: DCGAN {report.ks_comb:.0f}, WGAN-GP {wgan_report.ks_comb:.0f}")

# %% [markdown]
# ## 7. What it took

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
print(f"ks_comb on {len(test)} test events  {report.ks_comb:6.1f} (floor {report.floor[0]:.1f} +- {report.floor[1]:.1f})")
print(f"mean multiplicity           {cl.jets.cluster(generated).multiplicity.mean():8.2f} generated, {jets.multiplicity.mean():.2f} real")

# %% [markdown]
# The published search reached a `ks_comb` of 16.7 on 4,096 events with its best of 32 sets of hyper-parameters, after 25 of 64 epochs on
# 412,416 events. `CALOLAB_SIZE=hour` trains for about an hour here, `full` asks for the published size.

# %% [markdown]
# ## 8. What must hold
#
# Whatever the size of the run: Pythia's cross-section is that of the ATLAS sample, the kept epoch is the best one, and its weights are
# what the GAN has now.

# %%
assert abs(cross_section / 0.01436 - 1) < 0.1, cross_section
assert best["score"] == min(history.scores("ks_comb"))
assert score(gan)["ks_comb"] == best["score"]
assert all(np.isfinite(value) for epoch in wgan_history.epochs for value in epoch["losses"].values())
