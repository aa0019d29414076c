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
# # Cosmology: maps of dark matter, painted by CosmoGAN
#
# Galaxies far away look distorted, because matter on the way bends their light. From the distortions one computes a map of the
# convergence: how much mass lies along each line of sight. Cosmologists compare such maps with simulated ones, each of which takes a large
# computer. CosmoGAN (arXiv:1706.02390) paints them; its authors found the summary statistics of simulated maps in them, with high
# confidence. It is in this laboratory because its networks are those of the whole-detector GANs: what helps the one helps the other. This
# notebook
#
# 1. makes log-normal maps from a power spectrum, here and now, and checks them against what is known of them;
# 2. compares them with ray-traced maps, if you have some;
# 3. trains CosmoGAN by its published recipe;
# 4. judges its maps by their pixels, their power spectrum and three Minkowski functionals, beside the statistical floor.
#
# CosmoGAN has 17 million weights and its maps 65,536 pixels. Some minutes on two cores are a thousandth of the published training: do not
# expect a universe.

# %% [markdown]
# ## Parameters
#
# `CALOLAB_SIZE` chooses: `test` takes half a minute, `demo` minutes, and `full` is the published size, for a GPU.

# %% tags=["parameters"]
import os

size = os.environ.get("CALOLAB_SIZE", "demo")
n_train, n_test, epochs, batch_size = {
    "test": (4, 12, 2, 2),
    "demo": (160, 64, 3, 4),  # many small steps go further than few large ones
    "full": (8_192, 1_024, 50, 64),  # as published
}[size]
redshift = 1.0  # of the galaxies whose light is bent
seed = 7

# %%
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.special import erfc

import calolab as cl
from calolab.plots import texture
from calolab.simulate import sky

# %% [markdown]
# ## 1. Maps from a power spectrum
#
# Matter is sparse in most places and dense in few. A log-normal field has this skewness: a Gaussian field with the right correlations,
# exponentiated, shifted to a mean of zero, and never below the convergence of an empty beam. Its two-point statistics are those of
# ray-traced simulations; filaments are not in it. A map is 1.75 degrees wide.

# %%
start = perf_counter()
maps = sky.maps(n_train + n_test, seed=seed, redshift=redshift)
map_seconds = (perf_counter() - start) / len(maps)
train, test = maps.select(slice(0, n_train)), maps.select(slice(n_train, None))
maps

# %% [markdown]
# The farther the galaxies, the more matter before them. Three skies of the same random numbers, at two depths:

# %%
depths = {f"z = {z:g}": sky.maps(3, seed=seed, redshift=z) for z in (0.5, 1.5)}
texture.gallery(depths, events=3)

# %% [markdown]
# ## 2. Are they right?
#
# Two things are known without any simulation. The spectrum of the maps must be the one that was asked for, up to its scale; measured on
# periodic maps, where no edge lets power leak. And the fraction of the sky above zero follows from the log-normal law alone: with the
# standard deviation $\sigma$ of the pixels and the depth $\kappa_0$ of an empty beam it is
# $\frac{1}{2}\,\mathrm{erfc}\sqrt{\ln(1 + \sigma^2/\kappa_0^2)/8}$.

# %%
checks = sky.maps(40, seed=seed + 1, redshift=redshift, periodic=True)
multipoles, spectra = cl.validation.power_spectrum(checks)
usual = (multipoles > 1_000) & (multipoles < 5_000)
ratio = spectra.mean(axis=0)[usual] / sky.lensing_spectrum(multipoles[usual])
ratio_error = (spectra.std(axis=0)[usual] / np.sqrt(len(checks))) / spectra.mean(axis=0)[usual]
ratio = ratio / np.average(ratio, weights=ratio_error**-2)
print("spectrum, measured over asked for:", " ".join(f"{one:.3f}" for one in ratio))

# %%
sigma, depth = sky.SIGMA * redshift**sky.SIGMA_POWER, sky.SHIFT * redshift**sky.SHIFT_POWER
expected_area = erfc(np.sqrt(np.log1p((sigma / depth) ** 2) / 8)) / 2
areas = np.mean(checks.values > 0, axis=(1, 2))
area_error = areas.std() / np.sqrt(len(areas))
print(f"area above zero {areas.mean():.4f} +- {area_error:.4f}, expected {expected_area:.4f}")

# %% [markdown]
# ## 3. Three ways to look at a map
#
# The pixels' values; the power spectrum, how much structure there is at each angular size; and the Minkowski functionals of the regions
# above a threshold, which see what the spectrum does not: their area $V_0$, the length of their boundary $V_1$, and $V_2$, regions less
# holes. What would a perfect generator score? Here the maps to train on stand for the generated ones: the same law, other skies. (The
# spectrum's plateau beyond $\ell = 10^4$ is power that has leaked at the edges.)

# %%
perfect = cl.validation.compare_maps(test, train, seed=seed)
perfect

# %%
perfect.plot()

# %% [markdown]
# ## 4. Ray-traced maps
#
# Name a folder with FITS maps of your own in the environment variable `CALOLAB_LENSING_MAPS`: `cl.datasets.load` cuts them into patches of
# this size and reads the redshift from header or name. Without it, this cell writes two of our maps as FITS and reads them back.

# %%
named = os.environ.get("CALOLAB_LENSING_MAPS")
folder = tempfile.TemporaryDirectory()
if named:
    files = sorted(file for file in Path(named).iterdir() if file.name.endswith((".fit", ".fits", ".fits.gz")))
else:
    files = [cl.datasets.save(Path(folder.name, "convergence.fits"), test.select(slice(0, 2)))]
traced = cl.datasets.load(files)
folder.cleanup()
traced

# %% [markdown]
# Beside them as many log-normal maps, each of the same redshift:

# %%
twins = sky.maps(len(traced), seed=seed + 2, redshift=traced.labels.get("redshift", redshift))
shown = range(0, len(traced), max(1, len(traced) // 4))[:4]  # of as many redshifts as there are
texture.gallery({"from files": traced, "log-normal": twins}, events=shown, label="redshift")

# %% [markdown]
# Ray-traced maps have filaments and clusters, which log-normal ones lack; the functionals tell. (Patches of one simulation are not
# independent, so their floor is too low. Of maps of our own there is nothing to tell.)

# %%
traced_report = cl.validation.compare_maps(traced, twins, seed=seed)
traced_report

# %%
traced_report.plot()

# %% [markdown]
# ## 5. CosmoGAN
#
# 64 random numbers become 512 small maps of 16 x 16, which four transposed convolutions double in size to 256 x 256; a discriminator
# mirrors them. The last layer is a tanh: its scale is the largest convergence that can be painted.

# %%
gan = cl.models.build("cosmogan", train.space, seed=seed, scale=0.2)
gan

# %% [markdown]
# The untrained network is the baseline.

# %%
untrained = gan.generate(len(test), seed=seed)

# %% [markdown]
# The published recipe: Adam with $2 \cdot 10^{-4}$, and once in a hundred batches all labels are flipped.

# %%
recipe = cl.training.Recipe.published("cosmogan")
start = perf_counter()
history = cl.training.fit(gan, train, epochs=epochs, batch_size=batch_size, recipe=recipe, seed=seed)
training_seconds = perf_counter() - start
history

# %%
history.plot()

# %% [markdown]
# ## 6. Generated and real

# %%
generated = gan.generate(len(test), seed=seed)
texture.gallery({"log-normal": test, "untrained": untrained, "generated": generated}, events=4)

# %%
report = cl.validation.compare_maps(test, generated, seed=seed)
report

# %%
report.plot()

# %% [markdown]
# ## 7. What it took

# %%
start = perf_counter()
gan.generate(len(test), seed=seed)
generation_seconds = (perf_counter() - start) / len(test)

before = cl.validation.compare_maps(test, untrained, seed=seed)
rate = history.epochs[-1]["samples_per_second"]
spread = generated.values.std() / test.values.std()

# %% tags=["summary"]
print(f"log-normal map                 {1e3 * map_seconds:8.1f} ms")
print(f"CosmoGAN                       {1e3 * generation_seconds:8.1f} ms per map")
print(f"trained on                     {n_train:8d} maps, {epochs} epochs, {training_seconds:.0f} s")
print(f"training                       {rate:8.2f} maps/s")
print(f"published training             {8_192 * 50 / rate / 86400:8.1f} days on this machine")
print(f"standard deviation of pixels   {spread:8.2f} times the real one")
print("distance from kept-aside maps   perfect, generated, untrained")
for name, curve in report.curves.items():
    distances = perfect[name].distance.value, curve.distance.value, before[name].distance.value
    print(f"  {curve.label:<29}", *(f"{value:8.3f}" for value in distances))

# %% [markdown]
# `perfect` is what maps of the same law score. After the hundred-odd steps of `demo` the generator has found the large scales: its spectrum
# comes within a factor of three for $\ell < 3000$. Over them lies noise from pixel to pixel; it lifts the spectrum on the right, and the
# boundary and the genus see hardly anything else, so there the untrained, nearly flat maps score better. The published generator came near
# `perfect`, after it had seen each of some 8,000 maps fifty times. `CALOLAB_SIZE=full` asks for that; `cl.distributed.fit(engines, ...)`
# takes the same arguments and trains on all engines of a cluster.

# %% [markdown]
# ## 8. What must hold
#
# Whatever the size of the run: the maps have the spectrum and the area that they should, a perfect generator scores near the floor, a map
# comes out of its file as it went in, no loss went astray, and the generator paints the same for the same seed, but not what it painted
# before the training. Beyond test size: it has come nearer in pixels and spectrum.

# %%
assert np.all(np.abs(ratio - 1) < 0.05 + 3 * ratio_error), ratio
assert abs(areas.mean() - expected_area) < 0.005 + 3 * area_error, (areas.mean(), expected_area)
assert maps.values.min() >= -depth
assert all(curve.distance.times_floor < 5 for curve in perfect.curves.values()), perfect.distances

# %%
assert named or np.array_equal(traced.values, test.values[:2])
assert all(np.isfinite(value) for epoch in history.epochs for value in epoch["losses"].values())
assert np.array_equal(gan.generate(2, seed=seed).values, gan.generate(2, seed=seed).values)
assert not np.allclose(generated.values, untrained.values)
assert np.abs(generated.values).max() <= 0.2

# %%
if size != "test":
    for name in ("pixels", "power_spectrum"):
        assert report[name].distance.value < before[name].distance.value, name
