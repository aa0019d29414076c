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
# # Hyper-parameter search
#
# How many filters, which learning rate, which batch size? For the RPV GAN of notebook 10 these choices matter more than anything else: in the
# published search over 32 sets of them, scores ranged from 17 to 1,600. This notebook runs such a search on engines, and controls it while it
# runs:
#
# 1. start engines, on this machine or through the queue of a supercomputer;
# 2. simulate events, and define a trial and the parameters to vary;
# 3. start the search, watch it, stop a trial, and promote the best;
# 4. read the table and the curves, and find out what the good trials have in common;
# 5. compare the best trial with independent events;
# 6. see what is kept after a restart of the kernel.

# %% [markdown]
# ## Parameters
#
# This cell contains everything that depends on the machine. `CALOLAB_SIZE` selects the size of the run: `test` takes one minute, `demo` a few
# minutes, and `full` is the size of the published search for a cluster: 32 trials of 64 epochs on 412,416 events. `CALOLAB_ENGINES` contains
# the options to start engines; on two nodes in the queue of Slurm they would be `-n 32 -N 2 --engines slurm -q regular -t 8:00:00`. All other
# cells stay the same.

# %% tags=["parameters"]
import os
import tempfile
from pathlib import Path

size = os.environ.get("CALOLAB_SIZE", "demo")
engine_options = os.environ.get("CALOLAB_ENGINES", "-n 2 -c 1")
n_train, n_test, n_trials, epochs, filters, batch_sizes, rates = {
    "test": (96, 48, 3, 2, (2, 4), (16, 32), (1e-4, 3e-3)),
    "demo": (800, 400, 8, 8, (8, 16), (4, 8, 16), (3e-4, 3e-3)),  # a few hundred steps need large learning rates
    "full": (412_416, 4_096, 32, 64, (8, 16, 32, 64, 128), (32, 64, 128), (1e-5, 5e-3)),
}[size]  # events for training; for the score of an epoch, and in the test sample
folder = Path("checkpoints_21_full" if size == "full" else tempfile.mkdtemp(prefix="calolab_search_")).absolute() / "search"
masses = {"gluino_mass": 1400, "neutralino_mass": 850}  # GeV
seed = 7

# %%
import asyncio
from time import perf_counter

import calolab as cl
from calolab.search import Choice, Real
from calolab.plots import trials as figures

# %load_ext calolab

# %% [markdown]
# ## 1. Engines
#
# Engines keep running when the kernel ends; after a restart the same line reconnects to them.

# %%
# engines = %ipcluster start $engine_options
engines

# %% [markdown]
# ## 2. Events
#
# Pythia simulates pairs of gluinos, and the calorimeter gives images of the whole detector, as in notebook 10. One part of the events is for
# training, one for the score of every epoch of every trial, and one is the test sample for the best trial. The best of many trials is selected
# *because* it has a good score on the second part, so only the third part shows how good it is.

# %%
events = cl.simulate.collisions("rpv", n_train + 2 * n_test, seed=seed, output="images", **masses)
train = events.select(slice(0, n_train))
selection = events.select(slice(n_train, n_train + n_test))
test = events.select(slice(n_train + n_test, None))
train

# %% [markdown]
# A sample of this size is sent to each engine once. The published one is written to a file, which the engines read themselves.

# %%
if size == "full":
    file = folder.with_name("train.h5")
    file.parent.mkdir(exist_ok=True)
    train = cl.datasets.stream(file if file.exists() else cl.datasets.save(file, train))
data = {"train": train, "selection": selection}

# %% [markdown]
# ## 3. A trial and its parameters
#
# A trial is a function that builds the networks with the parameters proposed by the search, and trains them. `trial.fit` takes the arguments of
# `training.fit`; it also reports every epoch, saves checkpoints and the GAN of the best epoch, and stops on request. The score is `ks_comb`, the
# sum of -log p of three Kolmogorov-Smirnov tests, of jet pt, multiplicity and summed mass. Lower is better. The worst value is 2,100, and less for
# few events: 400 events that have nothing in common with 400 others score about 1,500.

# %%
def train_rpv(trial):
    chosen = trial.parameters
    networks = {name: chosen[name] for name in ("filters", "latent_size", "power")}
    gan = cl.models.build("rpv", trial.data["train"].space, seed=trial.seed, **networks)
    recipe = cl.training.Recipe.published("rpv", learning_rate=chosen["learning_rate"], batch_flip=chosen["batch_flip"])
    score = cl.training.PhysicsScore(cl.validation.jet_score(trial.data["selection"], seed=trial.seed))
    trial.fit(gan, trial.data["train"], batch_size=chosen["batch_size"], recipe=recipe, physics_score=score)


# %% [markdown]
# The published search varied the first four of these. `power` is our addition: the networks see energies to this power, and values below 1 make
# pixels with low energy more important. The batch size determines the number of steps in an epoch.

# %%
space = {
    "filters": Choice(*filters),
    "latent_size": Choice(16, 32, 64, 128),
    "learning_rate": Real(*rates, log=True),
    "batch_flip": Real(0, 0.2),
    "batch_size": Choice(*batch_sizes),
    "power": Choice(0.3, 0.5, 1.0),
}

# %% [markdown]
# ## 4. The search
#
# `start` returns at once. The first ten sets of parameters are random; the following ones are proposed by a tree-structured Parzen estimator from
# the results so far. `pruner="median"` ends a trial that is worse than the median of the others at the same epoch, once five trials have ended.
# If the folder already contains a search, the cell continues it.

# %%
if (folder / "search.sqlite").exists():
    search = cl.search.reattach(folder, engines)
else:
    search = cl.search.start(
        engines, train_rpv, space, folder=folder, data=data, trials=n_trials, epochs=epochs,
        metric="ks_comb", pruner="median", seed=seed,
    )
search

# %% [markdown]
# The dashboard shows all trials while they run: the table can be sorted and filtered, the curves show the selected metric, and a range selected
# on an axis of the parallel coordinates selects the trials in it. Select a trial to stop, restart or promote it. The buttons for views show the
# jets of the best GAN so far. (Without a kernel, a page shows the table as it was when the cell ran.)

# %%
def jets(gan, trial):
    report = cl.validation.compare_jets(selection, gan.generate(len(selection), seed=seed), seed=seed)
    return report.plot()


def images(gan, trial):
    return cl.widgets.JetComparison(selection, gan.generate(len(selection), seed=seed))


dashboard = cl.widgets.SearchDashboard(search, views={"Jets": jets, "Events": images})
dashboard

# %% [markdown]
# ### Stop a trial
#
# A cell can do the same as the Stop button. It waits for the first trial that has completed an epoch but not all, and stops it: the trial ends
# after the current pass of its networks, its results so far are kept, and its engine starts the next trial.

# %%
def halfway():
    return [trial for trial in search.trials if trial.status == "running" and 0 < len(trial.epochs) < epochs]


while search.status == "running" and not halfway():
    await asyncio.sleep(0.1)  # keeps the kernel free for the dashboard

stopped, seconds = None, 0.0
if halfway():
    stopped = halfway()[0].number
    start = perf_counter()
    search.stop(stopped)
    while search.trial(stopped).status in ("running", "stopping"):
        await asyncio.sleep(0.02)
    seconds = perf_counter() - start
    print(f"trial {stopped} is {search.trial(stopped).status} after {seconds:.2f} s; engines {engines.ids} are alive")

# %% [markdown]
# ### Wait for the other trials
#
# `await dashboard.wait()` waits and keeps the kernel free. `search.wait()` blocks it; the buttons still work in JupyterLab 4.4 or newer.

# %%
await dashboard.wait()
search

# %% [markdown]
# ### Promote the best trial
#
# Each trial of the search has few epochs. The best one is continued from its last checkpoint, with the state of its optimizers and random
# numbers, as if it had not been interrupted.

# %%
before = search.best
search.promote(before.number, 2 * epochs)
await dashboard.wait()
best = search.best
longer = search.trial(before.number)
print(f"trial {longer.number}: ks_comb {before.value:.0f} in {epochs} epochs, {longer.value:.0f} in {2 * epochs}")

# %% [markdown]
# ## 5. Results
#
# The ten best trials with all Kolmogorov-Smirnov tests, as -log p: the best value is 0, the worst 700.

# %%
search.table(10)

# %% [markdown]
# The published search ([EPJ Web Conf. 214 (2019) 09005](https://doi.org/10.1051/epjconf/201921409005)) found this best set out of 32, on
# 4,096 events:
#
# | filters | latent size | learning rate | batch flip | batch size | epoch | ks_comb | jet pt | multiplicity | summed mass | jet η | jet φ |
# |---|---|---|---|---|---|---|---|---|---|---|---|
# | 128 | 16 | 1e-4 | 0.135 | 64 | 25 of 64 | 16.67 | 9.6 | 4.3 | 2.8 | 25 | 10.5 |
#
# A comparison needs care: -log p grows with the number of events, so the same GAN has a much lower score with a few hundred events than with
# 4,096. The columns `distance_`, the KS distances, do not depend on it.

# %%
floor = best.scores["ks_comb"].floor, best.scores["ks_comb"].floor_spread
print(f"{n_test} simulated events score {floor[0]:.1f} +- {floor[1]:.1f} against each other")
figures.learning_curves(search.trials, search.metric, search.direction, floor)

# %% [markdown]
# At sizes for a laptop, many curves stay at the upper end of the scale: a GAN needs a few hundred steps before its images contain jets, and
# afterwards the score changes strongly from epoch to epoch, which is why the best epoch is kept. The trials that reach this point first
# win: those with small batches and large learning rates. The published search had four hundred thousand steps for each trial, and its ten
# best trials all had learning rates of 2e-4 or less. The result of a search depends on its computing budget.

# %% [markdown]
# Which parameters do the good trials have in common? Each line is a trial; dark lines are better. With few trials, a pattern is only a hint.

# %%
figures.parallel_coordinates(search.trials, search.space, search.metric, search.direction)

# %% [markdown]
# ## 6. Validation of the best trial
#
# The GAN of the best epoch of the best trial is compared with events that were used neither for training nor for selection.

# %%
gan = search.gan(best.number)
generated = gan.generate(len(test), seed=seed + 1)
report = cl.validation.compare_jets(test, generated, seed=seed)
report

# %%
report.plot()

# %%
comparison = cl.widgets.JetComparison(test, generated)
comparison

# %% [markdown]
# `ks_comb` does not include the positions of jets. In one run of this notebook, the best GAN put nearly all of them at a few positions: eta and
# phi were the worst lines of the report, the images of the widget had repeated spots, but the score was hardly affected (a partial mode
# collapse). A search optimises only its metric. To change it, report your own score, e.g. with `ks_jet_eta` and `ks_jet_phi`, and give its
# name as `metric=`.

# %% [markdown]
# ## 7. After a restart of the kernel
#
# The search does not depend on this kernel. Engines append every epoch to a file of the trial. When the kernel ends, running trials continue to
# their end, but no new ones are proposed. In a new kernel,
#
# ```python
# engines = cl.cluster.attach()                     # or the same %ipcluster start
# search  = cl.search.reattach(folder, engines)     # reads what has happened, and continues
# cl.widgets.SearchDashboard(search)
# ```
#
# restores everything. Without engines, the search can still be read on any machine with access to the folder:

# %%
history = cl.search.reattach(folder)
history

# %% [markdown]
# ## 8. Computing time

# %% tags=["summary"]
endings = "finished", "pruned", "stopped", "failed"
ended = {status: sum(trial.status == status for trial in search.trials) for status in endings}
epochs_run = sum(len(trial.epochs) for trial in search.trials)
span = max(trial.ended for trial in search.trials) - min(trial.started for trial in search.trials)
print(f"trials                      {', '.join(f'{count} {status}' for status, count in ended.items() if count)}")
print(f"engines                     {len(engines)}")
print(f"epochs                      {epochs_run:8d} of {len(train)} events")
print(f"time from first to last     {span:8.0f} s")
print(f"time to stop a trial        {seconds:8.2f} s")
print(f"best trial                  {best.number:8d}, epoch {best.best_epoch + 1}, ks_comb {best.value:.1f}")
combined = report["ks_comb"]
print(f"on {len(test)} test events          {combined.value:8.1f} (floor {combined.floor:.1f} +- {combined.floor_spread:.1f})")

# %% [markdown]
# ## 9. Checks
#
# For every size: all trials have ended, the results of the stopped trial are kept, the best trial has the best score, its GAN reproduces
# the recorded score, and the history on disk equals the history in memory.

# %%
assert len(search.trials) == n_trials and search.status == "finished", search
assert all(trial.status in ("finished", "pruned", "stopped") for trial in search.trials), search.trials
assert stopped is None or (search.trial(stopped).epochs and search.trial(stopped).attempts >= 1)
assert best.value == min(trial.value for trial in search.trials if trial.value is not None)
assert abs(cl.validation.jet_score(selection, seed=seed)(gan)["ks_comb"].value - best.value) <= 0.02 * best.value
assert [trial.epochs for trial in history.trials] == [trial.epochs for trial in search.trials]

# %%
# %ipcluster stop
