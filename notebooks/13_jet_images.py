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
# # Jet images of W bosons and QCD with LAGAN
#
# A W boson with a transverse momentum of 275 GeV decays to two quarks that form one large-radius jet; jets of quarks and gluons (QCD) are the
# background. In an image of 25 x 25 pixels the prongs of a jet are visible. LAGAN, the "location-aware" GAN (arXiv:1701.05927), generates
# such images. Its locally connected layers, whose weights depend on the position in the image, were later used in CaloGAN, and its overall
# structure in 3DGAN. This notebook
#
# 1. simulates both kinds of jets with Pythia;
# 2. trims, rotates, flips and pixelates them, step by step;
# 3. trains LAGAN with its published recipe;
# 4. compares generated and simulated images in mass, momentum and number of prongs for each class, with statistical floors;
# 5. tests whether the GAN has memorised images, and whether its discriminator separates W bosons from QCD.
#
# The published training used 90,000 images and fifty epochs. A few minutes on two cores reproduce the shape of jets but not their mass, as
# the figures show.

# %% [markdown]
# ## Parameters
#
# `CALOLAB_SIZE` selects the size of the run: `test` takes half a minute, `demo` a few minutes, and `full` is the published size: one or two
# hours of Pythia on two cores, and several hours of training.

# %% tags=["parameters"]
import os

size = os.environ.get("CALOLAB_SIZE", "demo")
n_w_boson, n_qcd, test_fraction, epochs, batch_size = {
    "test": (120, 600, 0.3, 2, 25),
    "demo": (2_500, 15_000, 0.2, 12, 25),  # many small steps are better than few large ones
    "full": (115_000, 720_000, 0.1, 50, 100),  # as published: 90,000 images for training
}[size]  # collisions, of which about 45 % (W) and 8 % (QCD) give an image; fraction of these in the test sample
seed = 7

# %%
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

import calolab as cl
from calolab.plots import event_images, jet_images as figures
from calolab.simulate import jet_images
from calolab.validation import compare_jet_images, distributions, image_mass, image_pt, image_tau_21, nearest

# %% [markdown]
# ## 1. Two kinds of jets
#
# A heavy W' decays to a W and a Z boson, the W to quarks and the Z to neutrinos, which gives one large-radius jet without a jet opposite to
# it. QCD gives two jets of similar momentum. The calorimeter towers are those of the ATLAS card of Delphes.

# %%
events = cl.simulate.collisions("w-boson", 50, pt=(250, 300), seed=seed, output="towers", progress=False)
events

# %% [markdown]
# ## 2. From towers to pixels
#
# The leading jet of each event (anti-$k_t$, R = 1.0) is trimmed: soft subjets with R = 0.3 are removed. The trimmed jet must have
# $250 < p_T < 300$ GeV and a mass of 60 to 100 GeV, which selects W bosons and few QCD jets. Then the jet is centred on its leading subjet,
# rotated so that the second subjet is below it, and flipped so that the right half contains more transverse momentum; the transverse momenta
# are summed in pixels of 0.1.

# %%
jet_images(events, signal=1)

# %% [markdown]
# Now the whole sample, in parts, because towers need more memory than images.


# %%
def make_images(process, collisions, piece=10_000):
    """Images of the leading jets in this number of collisions."""
    sizes = [min(piece, collisions - start) for start in range(0, collisions, piece)]
    towers = (cl.simulate.collisions(process, n, seed=seed + k, output="towers") for k, n in enumerate(sizes))
    return cl.samples.concatenate([jet_images(some) for some in towers])


# %%
start = perf_counter()
w_bosons = make_images("w-boson", n_w_boson)
qcd = make_images("qcd", n_qcd)
making_seconds = perf_counter() - start
print(f"W boson: {len(w_bosons)} images of {n_w_boson} collisions ({len(w_bosons) / n_w_boson:.0%})")
print(f"QCD:     {len(qcd)} images of {n_qcd} collisions ({len(qcd) / n_qcd:.1%})")

# %%
event_images.gallery({"W boson": w_bosons, "QCD": qcd}, events=4)

# %% [markdown]
# Single images look similar for both classes, their means do not. The second prong of a W boson is at a distance that follows from its mass
# and momentum ($2m/p_T \approx 0.6$); for QCD it is smeared. All colour scales are logarithmic; that of the difference is logarithmic on
# both sides of zero.

# %%
figures.means({"": {"QCD": qcd.values.mean(axis=0), "W boson": w_bosons.values.mean(axis=0)}}, qcd.space)

# %% [markdown]
# ## 3. Observables from pixels
#
# LAGAN is validated with quantities calculated from pixels: mass, transverse momentum and $\tau_{21}$, which is small for jets with two
# prongs. Solid lines are calculated from pixels, dashed lines from the jets before pixelation. The rotation of a jet in the plane of $\eta$
# and $\phi$ changes its mass slightly, and $\tau_{21}$ has a different definition for pixels. Therefore pixels are always compared with
# pixels.

# %%
kinds = {"W boson": w_bosons, "QCD": qcd}
both = {"mass [GeV]": (image_mass, "mass"), "pt [GeV]": (image_pt, "pt"), "τ₂₁": (image_tau_21, "tau_21")}
variables = {
    axis: {name: function(sample) for name, sample in kinds.items()}
    | {f"{name} (jet)": sample.labels[label] for name, sample in kinds.items()}
    for axis, (function, label) in both.items()
}
figures.distributions(distributions(variables))

# %% [markdown]
# ## 4. LAGAN
#
# The generator multiplies 200 random numbers by 200 numbers that are learned for each class, and makes an image from the products with
# locally connected layers. The discriminator has the same kind of layers, compares the images in a batch with each other, and predicts the
# class of each image. The untrained network is the baseline, which shows what the training achieves.

# %%
images = cl.samples.concatenate([w_bosons, qcd])
train, test = images.split(test=test_fraction, seed=seed)
gan = cl.models.build("lagan", train.space, seed=seed)
untrained = gan.generate(test.labels, seed=seed)
gan

# %% [markdown]
# The published recipe: Adam with a learning rate of $2 \cdot 10^{-4}$, 5 % flipped labels, and a wrong class for the generator in 9 % of the
# cases. The images for the discriminator are generated with the moving statistics of the generator, as in later use. These need a few
# hundred steps to adapt; until then the images of the two updates differ, and the loss of the generator is too low.

# %%
recipe = cl.training.Recipe.published("lagan")
history = cl.training.fit(gan, train, epochs=epochs, batch_size=batch_size, recipe=recipe, seed=seed)
history

# %%
history.plot()

# %% [markdown]
# ## 5. Generated and simulated images
#
# For each image of the test sample the GAN generates one of the same class.

# %%
generated = gan.generate(test.labels, seed=seed)
event_images.gallery({"simulated": test, "generated": generated}, events=4)

# %% [markdown]
# The mean images of each class, and where generated images contain too much (red) or too little (blue):

# %%
report = compare_jet_images(test, generated, seed=seed)
report.plot_means()

# %% [markdown]
# Quantities calculated from the pixels. Next to every distance is its floor: the distance between two samples of simulated images of this
# size.

# %%
report.plot()

# %%
report

# %% [markdown]
# Has the generator learned the classes? The difference between them must show what distinguishes a W boson:

# %%
w_generated, qcd_generated = (generated.select(generated.labels["signal"] == signal) for signal in (1, 0))
pair = {"QCD": qcd_generated.values.mean(axis=0), "W boson": w_generated.values.mean(axis=0)}
figures.means({"generated": pair}, generated.space)

# %% [markdown]
# ## 6. Memorisation
#
# Next to each generated image is the most similar image of the training sample. Images from a generator that copies would be closer to the
# training sample than independent simulated images are; those from a generator that repeats itself would be closer to each other than
# simulated images are.

# %%
index, to_training = nearest(generated, train)
event_images.gallery({"generated": generated, "nearest in training": train.select(index)}, events=4)

# %%
real_to_training, among_real, among_generated = nearest(test, train)[1], nearest(test)[1], nearest(generated)[1]
distances = {
    "distance to the training sample [GeV]": {"simulated (test sample)": real_to_training, "generated": to_training},
    "distance within the sample [GeV]": {"simulated (test sample)": among_real, "generated": among_generated},
}
figures.distributions(distributions(distances))

# %% [markdown]
# ## 7. The discriminator
#
# Its logits are converted to probabilities: that an image is simulated, and that it is a W boson. If the generator is good, the
# discriminator cannot tell whether an image is simulated.


# %%
def probabilities(sample):
    """Probabilities of the discriminator, in batches as in the training, because it compares the images in a batch."""
    logits = gan.discriminator.predict(sample.values[..., None], batch_size=batch_size, verbose=0)
    return {head: 1 / (1 + np.exp(-logit[:, 0])) for head, logit in logits.items()}


# %%
of_real, of_generated, is_w = probabilities(test), probabilities(generated), test.labels["signal"] == 1
predictions = {
    "P(simulated)": {"simulated": of_real["generation"], "generated": of_generated["generation"]},
    "P(W boson)": {
        **{"simulated W boson": of_real["signal"][is_w], "generated W boson": of_generated["signal"][is_w]},
        **{"simulated QCD": of_real["signal"][~is_w], "generated QCD": of_generated["signal"][~is_w]},
    },
}
figures.distributions(distributions(predictions, limits={"P(simulated)": (0, 1), "P(W boson)": (0, 1)}))

# %% [markdown]
# ## 8. The original images
#
# The original images of LAGAN are a file on Zenodo (record 269622). If you have it, set the environment variable `CALOLAB_JET_IMAGES` to its
# path; `cl.datasets.load` reads its layout. Otherwise this cell writes our images in that layout and reads them back. Do they agree with ours?
# (For our own images all distances are zero. The original ones were rotated as images, ours as jets.)

# %%
named = os.environ.get("CALOLAB_JET_IMAGES")
folder = tempfile.TemporaryDirectory()
file = Path(named) if named else cl.datasets.save(Path(folder.name, "jet-images.hdf5"), images)
original = cl.datasets.load(file)
folder.cleanup()
original

# %%
as_many = np.random.default_rng(seed).permutation(len(original))[: len(images)]
ours = compare_jet_images(original.select(as_many), images, seed=seed)
ours

# %% [markdown]
# ## 9. Computing time

# %%
start = perf_counter()
gan.generate(test.labels, seed=seed)
generation_seconds = (perf_counter() - start) / len(test)

# %%
before = compare_jet_images(test, untrained, seed=seed)
right, right_generated = (np.mean((of["signal"] > 0.5) == is_w) for of in (of_real, of_generated))
chance = max(is_w.mean(), 1 - is_w.mean())
rate = history.epochs[-1]["samples_per_second"]

# %% tags=["summary"]
print(f"Pythia, towers and jets     {1e3 * making_seconds / (n_w_boson + n_qcd):8.2f} ms per collision")
print(f"                            {1e3 * making_seconds / len(images):8.1f} ms per image")
print(f"LAGAN                       {1e3 * generation_seconds:8.2f} ms per image")
print(f"trained on                  {len(train):8d} images, {epochs} epochs, {rate:.0f} images/s")
print(f"published training          {90_000 * 50 / rate / 3600:8.1f} hours on this machine")
print("mean of images              simulated, generated, untrained")
for name, function in (("pt [GeV]", image_pt), ("mass [GeV]", image_mass), ("tau_21", image_tau_21)):
    print(f"  {name:<28}", *(f"{np.nanmean(function(sample)):8.2f}" for sample in (test, generated, untrained)))
print("KS distance from simulated       floor, generated, untrained")
for kind in report.parts:
    for name, observable in report[kind].observables.items():
        ks = observable.distances["ks"]
        print(f"  {f'{name}, {kind}':<28}", f"{ks.floor:8.2f} {ks.value:8.2f} {before[kind][name].distances['ks'].value:8.2f}")
print(f"distance to the training    {np.median(to_training) / np.median(real_to_training):8.2f} times that of simulated images")
print(f"distance to each other      {np.median(among_generated) / np.median(among_real):8.2f} times that of simulated images")
print(f"right class                 {right:8.0%} of simulated, {right_generated:.0%} of generated images (chance {chance:.0%})")

# %% [markdown]
# The GAN generates about a thousand images per second. The distances show how well they describe jets (0: equal, 1: no overlap). After the
# thousand steps of `demo` both prongs are in the right places, the classes differ as they should, and pixels and $\tau_{21}$ are close; mass
# and momentum are too large and too broad, and the images are too similar to each other. The authors of LAGAN report that after fifty
# epochs on 90,000 images the mass and the prongs agree with those of simulated images; `CALOLAB_SIZE=full` has this size.

# %% [markdown]
# ## 10. Checks
#
# For every size: all jets are in the window; W bosons have the right mass; images contain the momentum and mass of their jets, are rotated and
# flipped, and show two prongs more clearly for W bosons; all losses are finite; and the file contains what was written. For sizes larger
# than `test`: training has improved mass and momentum.

# %%
pt, mass = images.labels["pt"], images.labels["mass"]
assert np.all((pt > 250) & (pt < 300) & (mass > 60) & (mass < 100))
assert abs(np.median(w_bosons.labels["mass"]) - 80.4) < 4, np.median(w_bosons.labels["mass"])
assert abs(np.median(image_pt(images) / pt) - 1) < 0.03
assert abs(np.median(image_mass(images) / mass) - 1) < 0.05

# %%
w_tau, qcd_tau = variables["τ₂₁"]["W boson"], variables["τ₂₁"]["QCD"]
error = np.hypot(w_tau.std() / np.sqrt(len(w_tau)), qcd_tau.std() / np.sqrt(len(qcd_tau)))
assert qcd_tau.mean() - w_tau.mean() > 3 * error, (w_tau.mean(), qcd_tau.mean(), error)
assert np.all(images.values[:, 13:].sum((1, 2)) >= images.values[:, :12].sum((1, 2)) - 1e-3)
assert images.values[:, :, :12].sum() > images.values[:, :, 13:].sum()  # the second prong is below
assert all(np.isfinite(value) for epoch in history.epochs for value in epoch["losses"].values())
assert named or np.array_equal(original.values, images.values)
assert named or all(one.distances["ks"].value == 0 for kind in ours.parts.values() for one in kind.observables.values())

# %%
if size != "test":
    for kind in report.parts:
        for name in ("mass", "pt"):
            after, initial = (one[kind][name].distances["ks"].value for one in (report, before))
            assert after < initial, (kind, name, after, initial)
