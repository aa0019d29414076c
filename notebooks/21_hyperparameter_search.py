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
# # The control room: a search for hyper-parameters
#
# How many filters, which learning rate, how large a batch? For the RPV GAN of notebook 10 these choices decide more than anything else: in
# the published search over 32 sets of them, scores ranged from 17 to 1,600. This notebook runs such a search on engines, and steers it
# while it runs:
#
# 1. start engines, here or through the queue of a supercomputer;
# 2. make events, and say what a trial is and what may vary;
# 3. start the search, watch it, stop a trial, promote the best;
# 4. read the table and the curves, and look at what the good trials share;
# 5. judge the winner by events that it has not met;
# 6. see what survives a restart of the kernel.

# %% [markdown]
# ## Parameters
#
# Everything that another machine needs to be different is in this cell. `CALOLAB_SIZE` chooses the run: `test` takes a minute, `demo`
# minutes, and `full` is the size of the published search, for a cluster: 32 trials of 64 epochs on 412,416 events. `CALOLAB_ENGINES`
# says how engines are started; through Slurm's queue on two nodes it would be
# `-n 32 -N 2 --engines slurm -q regular -t 8:00:00`, and nothing below changes.

# %% tags=["parameters"]
import os
import tempfile
from pathlib import Path

size = os.environ.get("CALOLAB_SIZE", "demo")
engine_options = os.environ.get("CALOLAB_ENGINES", "-n 2 -c 1")
n_train, n_judge, n_trials, epochs, filters, batch_sizes, rates = {
    "test": (160, 80, 3, 2, (4, 8), (16, 32), (1e-4, 3e-3)),
    "demo": (800, 400, 8, 8, (8, 16), (4, 8, 16), (3e-4, 3e-3)),  # a few hundred steps need large strides
    "full": (412_416, 4_096, 32, 64, (8, 16, 32, 64, 128), (32, 64, 128), (1e-5, 5e-3)),
}[size]  # events to learn from; to rate an epoch by, and once more to judge the winner by
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
# The engines live on when this kernel ends: after a restart the same line finds them again.

# %%
# engines = %ipcluster start $engine_options
engines

# %% [markdown]
# ## 2. Events
#
# Pairs of gluinos by Pythia, seen by the calorimeter as images of the whole detector, as in notebook 10. Some are to learn from, some to
# rate every epoch of every trial, and some are kept aside for the winner. The best of many trials was chosen *because* it did well
# on the second group: only the third can tell how good it is.

# %%
events = cl.simulate.collisions("rpv", n_train + 2 * n_judge, seed=seed, output="images", **masses)
train = events.select(slice(0, n_train))
choosing = events.select(slice(n_train, n_train + n_judge))
test = events.select(slice(n_train + n_judge, None))
train

# %% [markdown]
# A sample of this size is sent to each engine once. The published one is written to a file instead, which the engines read by themselves.

# %%
if size == "full":
    file = folder.with_name("train.h5")
    file.parent.mkdir(exist_ok=True)
    train = cl.datasets.stream(file if file.exists() else cl.datasets.save(file, train))
data = {"train": train, "choosing": choosing}

# %% [markdown]
# ## 3. A trial, and what may vary
#
# A trial is a function: it builds the networks from the parameters that the search proposes, and trains them. `trial.fit` takes what
# `training.fit` takes; it also reports every epoch, keeps checkpoints and the GAN of the best epoch, and stops when it is told to.
# The score is `ks_comb`: minus log p of three Kolmogorov-Smirnov tests, of jet pt, multiplicity and summed mass, added up. Lower is
# better. The worst is 2,100, and less with few events: 400 that agree in nothing with 400 others score about 1,500.

# %%
def train_rpv(trial):
    chosen = trial.parameters
    networks = {name: chosen[name] for name in ("filters", "latent_size", "power")}
    gan = cl.models.build("rpv", trial.data["train"].space, seed=trial.seed, **networks)
    recipe = cl.training.Recipe.published("rpv", learning_rate=chosen["learning_rate"], batch_flip=chosen["batch_flip"])
    score = cl.training.PhysicsScore(cl.validation.jet_score(trial.data["choosing"], seed=trial.seed))
    trial.fit(gan, trial.data["train"], batch_size=chosen["batch_size"], recipe=recipe, physics_score=score)


# %% [markdown]
# The published search varied the first four of these. `power` is ours: the networks see the energies to this power, and below 1
# faint pixels come within reach. The batch decides how many steps there are in an epoch.

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
# `search` returns at once. Parameters are proposed one set after the other: the first ten are drawn at random, those after them by a
# tree-structured Parzen estimator that has learned from the trials before. `pruner="median"` ends a trial that is worse than the median
# of the others at the same epoch, once five have ended. Where there is a search in the folder already, the cell goes on with it.

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
# The dashboard shows every trial as it goes: the table sorts and filters, the curves show the metric that you choose, and a range
# brushed on an axis of the parallel coordinates keeps the trials within it. Select a trial and Stop, Restart or Promote it; the
# buttons for views show the jets of the best GAN so far. (A page without a kernel shows the table as it was when the cell ran.)

# %%
def jets(gan, trial):
    report = cl.validation.compare_jets(choosing, gan.generate(len(choosing), seed=seed), seed=seed)
    return report.plot()


def images(gan, trial):
    return cl.widgets.JetComparison(choosing, gan.generate(len(choosing), seed=seed))


dashboard = cl.widgets.SearchDashboard(search, views={"Jets": jets, "Events": images})
dashboard

# %% [markdown]
# ### Stop one
#
# What the Stop button does, from a cell. We wait for the first trial that has an epoch behind it and more to go, and stop it: it
# ends after the pass of its networks that it is in, keeps what it had, and its engine takes the next one.

# %%
def halfway():
    return [trial for trial in search.trials if trial.status == "running" and 0 < len(trial.epochs) < epochs]


while search.status == "running" and not halfway():
    await asyncio.sleep(0.1)  # leaves the kernel free for the dashboard

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
# ### Wait for the rest
#
# `await dashboard.wait()` waits and leaves the kernel free; while `search.wait()` blocks it, the buttons still answer in JupyterLab 4.4 or newer.

# %%
await dashboard.wait()
search

# %% [markdown]
# ### Promote the best
#
# The search gives every trial few epochs. The best one deserves more: it goes on from its last checkpoint, with the state of its
# optimizers and random numbers, as if it had never paused.

# %%
before = search.best
search.promote(before.number, 2 * epochs)
await dashboard.wait()
best = search.best
longer = search.trial(before.number)
print(f"trial {longer.number}: ks_comb {before.value:.0f} in {epochs} epochs, {longer.value:.0f} in {2 * epochs}")

# %% [markdown]
# ## 5. What was found
#
# The best ten, with every Kolmogorov-Smirnov test: minus log p, so that 0 is perfect and 700 hopeless.

# %%
search.table(10)

# %% [markdown]
# The published search ([EPJ Web Conf. 214 (2019) 09005](https://doi.org/10.1051/epjconf/201921409005)) had this best of 32 sets, on 4,096
# events:
#
# | filters | latent size | learning rate | batch flip | batch size | epoch | ks_comb | jet pt | multiplicity | summed mass | jet η | jet φ |
# |---|---|---|---|---|---|---|---|---|---|---|---|
# | 128 | 16 | 1e-4 | 0.135 | 64 | 25 of 64 | 16.67 | 9.6 | 4.3 | 2.8 | 25 | 10.5 |
#
# Read the two side by side with care. Minus log p grows with the number of events: with a few hundred of them the same GAN scores far
# lower than with 4,096. The columns `distance_`, the KS distances, do not depend on it.

# %%
floor = [best.epochs[best.best_epoch][name] for name in ("floor_ks_comb", "floor_spread_ks_comb")]
print(f"{n_judge} real events score {floor[0]:.1f} +- {floor[1]:.1f} against real ones")
figures.learning_curves(search.trials, search.metric, search.direction, floor)

# %% [markdown]
# At the sizes for a laptop, many curves stay where the scale ends: a GAN needs a few hundred steps before its images have jets at all, and
# from then on the score jumps from epoch to epoch, which is why the best epoch is kept. What wins here is what gets there soonest:
# small batches and large learning rates. The published search had four hundred thousand steps for each trial, and its ten best all
# had learning rates of 2e-4 or less. A search answers for the budget that it was given.

# %% [markdown]
# Which parameters do the good ones share? Each line is a trial; dark ones are better. With few trials, a pattern here is a hint and no more.

# %%
figures.parallel_coordinates(search.trials, search.space, search.metric, search.direction)

# %% [markdown]
# ## 6. The winner, judged afresh
#
# The GAN of the best epoch of the best trial, compared with events that it was neither trained on nor chosen by.

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
# `ks_comb` does not ask where the jets are. When this was written, a GAN won that puts nearly all of them at a few places: eta and phi were
# the worst lines of the report, the images of the widget repeated spots, and the score hardly suffered (a partial mode collapse). A search
# finds what its score rewards. Report a score of your own, one with `ks_jet_eta` and `ks_jet_phi` in it, and give its name as `metric=`.

# %% [markdown]
# ## 7. After a restart of the kernel
#
# Nothing of the search lives in this kernel only. Engines append every epoch to a file of the trial; when the kernel ends, running trials
# go on to their end, and none is proposed meanwhile. In a new kernel,
#
# ```python
# engines = cl.cluster.attach()                             # or the same %ipcluster start
# search  = cl.search.reattach(folder, engines)     # reads what happened meanwhile, and goes on
# cl.widgets.SearchDashboard(search)
# ```
#
# brings everything back. Without engines it is a history to look at, from any machine that sees the folder:

# %%
history = cl.search.reattach(folder)
history

# %% [markdown]
# ## 8. What it took

# %% tags=["summary"]
endings = "finished", "pruned", "stopped", "failed"
ended = {status: sum(trial.status == status for trial in search.trials) for status in endings}
epochs_run = sum(len(trial.epochs) for trial in search.trials)
span = max(trial.ended for trial in search.trials) - min(trial.started for trial in search.trials)
print(f"trials                      {', '.join(f'{count} {status}' for status, count in ended.items() if count)}")
print(f"engines                     {len(engines)}")
print(f"epochs                      {epochs_run:8d} of {len(train)} events")
print(f"time from first to last     {span:8.0f} s")
print(f"a stop took                 {seconds:8.2f} s")
print(f"best trial                  {best.number:8d}, epoch {best.best_epoch + 1}, ks_comb {best.value:.1f}")
print(f"on {len(test)} fresh events         {report.ks_comb:8.1f} (floor {report.floor[0]:.1f} +- {report.floor[1]:.1f})")

# %% [markdown]
# ## 9. What must hold
#
# Whatever the size of the run: every trial has come to an end, the stopped one kept its epoch, the best trial is the best one, its GAN
# scores again what was written down, and the history on disk is the one in memory.

# %%
assert len(search.trials) == n_trials and search.status == "finished", search
assert all(trial.status in ("finished", "pruned", "stopped") for trial in search.trials), search.trials
assert stopped is None or (search.trial(stopped).epochs and search.trial(stopped).attempts >= 1)
assert best.value == min(trial.value for trial in search.trials if trial.value is not None)
assert abs(cl.validation.jet_score(choosing, seed=seed)(gan)["ks_comb"] - best.value) <= 0.02 * best.value
assert [trial.epochs for trial in history.trials] == [trial.epochs for trial in search.trials]

# %%
# %ipcluster stop
