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
# # Cosmology: weak-lensing maps with CosmoGAN
#
# Distant galaxies look distorted because the matter in front of them deflects their light. From the distortions one calculates a map of the
# convergence, which measures the mass along each line of sight. Cosmologists compare such maps with simulations that need large computers.
# CosmoGAN (arXiv:1706.02390) generates such maps; its authors found that their summary statistics agree with those of the simulation. Its
# networks are those of the GANs for whole-detector images, so improvements of one help the other. This notebook
#
# 1. simulates log-normal maps with a given power spectrum, and compares them with analytic results;
# 2. compares them with ray-traced maps, if you have some;
# 3. trains CosmoGAN with its published recipe;
# 4. compares its maps in their pixels, power spectrum and three Minkowski functionals, with statistical floors.
#
# CosmoGAN has 17 million weights, and its maps have 65,536 pixels. A few minutes on two cores are a thousandth of the published training, so
# the maps will not be good.

# %% [markdown]
# ## Parameters
#
# `CALOLAB_SIZE` selects the size of the run: `test` takes half a minute, `demo` a few minutes, and `full` is the published size, for a GPU.

# %% tags=["parameters"]
import os

size = os.environ.get("CALOLAB_SIZE", "demo")
n_train, n_test, epochs, batch_size = {
    "test": (4, 8, 1, 2),
    "demo": (160, 64, 3, 4),  # many small steps are better than few large ones
    "full": (8_192, 1_024, 50, 64),  # as published
}[size]
redshift = 1.0  # of the galaxies whose light is deflected
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
# ## 1. Maps with a given power spectrum
#
# The density of matter is low in most places and high in few. A log-normal field has this skewness: a Gaussian field with the right
# correlations is exponentiated and shifted to a mean of zero; it is never below the convergence of an empty beam. Its two-point statistics are
# those of ray-traced simulations, but it has no filaments. Each map is 1.75 degrees wide.

# %%
start = perf_counter()
maps = sky.maps(n_train + n_test, seed=seed, redshift=redshift)
map_seconds = (perf_counter() - start) / len(maps)
train, test = maps.select(slice(0, n_train)), maps.select(slice(n_train, None))
maps

# %% [markdown]
# More distant galaxies have more matter in front of them. Three maps with the same random numbers, for two redshifts:

# %%
depths = {f"z = {z:g}": sky.maps(3, seed=seed, redshift=z) for z in (0.5, 1.5)}
texture.gallery(depths, events=3)

# %% [markdown]
# ## 2. Comparison with analytic results
#
# Two results are known analytically. The spectrum of the maps must be the requested one, up to its normalisation; it is measured on periodic
# maps, which have no edges. And the fraction of the area above zero follows from the log-normal distribution: with the standard deviation
# $\sigma$ of the pixels and the convergence $-\kappa_0$ of an empty beam it is $\frac{1}{2}\,\mathrm{erfc}\sqrt{\ln(1 + \sigma^2/\kappa_0^2)/8}$.

# %%
checks = sky.maps(40, seed=seed + 1, redshift=redshift, periodic=True)
multipoles, spectra = cl.validation.power_spectrum(checks)
usual = (multipoles > 1_000) & (multipoles < 5_000)
ratio = spectra.mean(axis=0)[usual] / sky.lensing_spectrum(multipoles[usual])
ratio_error = (spectra.std(axis=0)[usual] / np.sqrt(len(checks))) / spectra.mean(axis=0)[usual]
ratio = ratio / np.average(ratio, weights=ratio_error**-2)
print("spectrum, measured / requested:", " ".join(f"{one:.3f}" for one in ratio))

# %%
sigma, depth = sky.SIGMA * redshift**sky.SIGMA_POWER, sky.SHIFT * redshift**sky.SHIFT_POWER
expected_area = erfc(np.sqrt(np.log1p((sigma / depth) ** 2) / 8)) / 2
areas = np.mean(checks.values > 0, axis=(1, 2))
area_error = areas.std() / np.sqrt(len(areas))
print(f"area above zero {areas.mean():.4f} +- {area_error:.4f}, expected {expected_area:.4f}")

# %% [markdown]
# ## 3. Three statistics of a map
#
# Three statistics are compared: the distribution of the pixels; the power spectrum, which measures the structure at each angular scale; and
# the Minkowski functionals of the regions above a threshold, which contain information beyond the spectrum: their area $V_0$, the length of
# their boundary $V_1$, and the number of regions minus that of holes, $V_2$. What would a perfect generator score? Here the training sample,
# with the same distribution but other random numbers, takes the place of the generated maps. (The plateau of the spectrum above $\ell = 10^4$ is
# power leaked at the edges.)

# %%
perfect = cl.validation.compare_maps(test, train, seed=seed)
perfect

# %%
perfect.plot()

# %% [markdown]
# ## 4. Ray-traced maps
#
# Set the environment variable `CALOLAB_LENSING_MAPS` to a folder with your own FITS maps: `cl.datasets.load` cuts them into patches of this
# size and reads the redshift from the header or the file name. Otherwise this cell writes two of our maps as FITS and reads them back.

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
# An equal number of log-normal maps with the same redshifts:

# %%
lognormal = sky.maps(len(traced), seed=seed + 2, redshift=traced.labels.get("redshift", redshift))
shown = range(0, len(traced), max(1, len(traced) // 4))[:4]  # at different redshifts
texture.gallery({"from files": traced, "log-normal": lognormal}, events=shown, label="redshift")

# %% [markdown]
# Ray-traced maps have filaments and clusters, which log-normal maps lack; the functionals show the difference. (Patches of one simulation are
# not independent, so their floor is too low. With our own maps there is no difference.)

# %%
traced_report = cl.validation.compare_maps(traced, lognormal, seed=seed)
traced_report

# %%
traced_report.plot()

# %% [markdown]
# ## 5. CosmoGAN
#
# From 64 random numbers the generator makes 512 maps of 16 x 16 pixels, which four transposed convolutions enlarge to one of 256 x 256. The
# discriminator has the mirrored layers. The last layer is a tanh, whose scale is the largest possible convergence.

# %%
gan = cl.models.build("cosmogan", train.space, seed=seed, scale=0.2)
gan

# %% [markdown]
# The untrained network is the baseline.

# %%
untrained = gan.generate(len(test), seed=seed)

# %% [markdown]
# The published recipe: Adam with a learning rate of $2 \cdot 10^{-4}$; in one out of a hundred batches all labels are flipped.

# %%
recipe = cl.training.Recipe.published("cosmogan")
start = perf_counter()
history = cl.training.fit(gan, train, epochs=epochs, batch_size=batch_size, recipe=recipe, seed=seed)
training_seconds = perf_counter() - start
history

# %%
history.plot()

# %% [markdown]
# ## 6. Generated and simulated maps

# %%
generated = gan.generate(len(test), seed=seed)
texture.gallery({"log-normal": test, "untrained": untrained, "generated": generated}, events=4)

# %%
report = cl.validation.compare_maps(test, generated, seed=seed)
report

# %%
report.plot()

# %% [markdown]
# ## 7. Computing time

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
print(f"standard deviation of pixels   {spread:8.2f} times the simulated one")
print("distance from the test sample   perfect, generated, untrained")
for name, curve in report.observables.items():
    distances = perfect[name].distance.value, curve.distance.value, before[name].distance.value
    print(f"  {curve.label:<29}", *(f"{value:8.3f}" for value in distances))

# %% [markdown]
# `perfect` is the score of maps with the same distribution. After about a hundred steps of `demo` the generator has learned the large scales:
# its spectrum is right within a factor of three for $\ell < 3000$. Additional pixel-to-pixel noise raises the spectrum at large $\ell$ and
# dominates boundary and genus, for which the untrained, nearly constant maps score better. The published generator was close to `perfect`
# after fifty epochs on about 8,000 maps. `CALOLAB_SIZE=full` has this size; `cl.distributed.fit(engines, ...)` takes the same arguments and
# trains on all engines of a cluster.

# %% [markdown]
# ## 8. Checks
#
# For every size: the maps have the right spectrum and area; a perfect generator scores near the floor; a map read from a file equals the
# map that was written; all losses are finite; and the generator gives the same maps for the same seed, which differ from those before the
# training. For sizes larger than `test`: pixels and spectrum have improved.

# %%
assert np.all(np.abs(ratio - 1) < 0.05 + 3 * ratio_error), ratio
assert abs(areas.mean() - expected_area) < 0.005 + 3 * area_error, (areas.mean(), expected_area)
assert maps.values.min() >= -depth
assert all(curve.distance.times_floor < 5 for curve in perfect.observables.values()), perfect.scores

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
