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
# # Training on many engines: what it brings, what it costs
#
# A GAN that is trained on many engines at once sees more events per second. This notebook shows how, and asks what that is worth:
#
# 1. make RPV events and a score that judges them by their jets;
# 2. start engines, here or through the queue of a supercomputer, and train on all of them;
# 3. measure where the time of a step goes, on one engine and on several, and what a model makes of that for 1,024;
# 4. see what large batches do to a GAN, which is what many engines mean;
# 5. kill an engine in the middle of a training, and see it go on.

# %% [markdown]
# ## Parameters
#
# Everything that another machine needs to be different is in this cell. `CALOLAB_SIZE` chooses the run: `test` takes a minute, `demo`
# minutes, and `full` is for a cluster. `CALOLAB_ENGINES` says how engines are started; on four nodes through Slurm's queue it would be
# `-n 32 -N 4 --engines slurm -q regular -t 2:00:00`, and nothing below changes.

# %% tags=["parameters"]
import os
import tempfile
from pathlib import Path

size = os.environ.get("CALOLAB_SIZE", "demo")
engine_options = os.environ.get("CALOLAB_ENGINES", "-n 2 -c 1")
n_train, n_judge, filters, epochs, batch, timed_batch, steps, rounds, elastic_epochs = {
    "test": (192, 100, 8, 2, 16, 8, 2, 2, 6),
    "demo": (2_400, 500, 16, 10, 32, 64, 4, 4, 4),
    "full": (412_416, 4_096, 64, 32, 512, 64, 20, 10, 8),
}[size]  # events to learn from and to judge by; `batch` is of all engines together, `timed_batch` of one
# Checkpoints lie where all engines can read them.
folder = Path("checkpoints_20_full" if size == "full" else tempfile.mkdtemp(prefix="calolab_elastic_")).absolute()
masses = {"gluino_mass": 1400, "neutralino_mass": 850}  # GeV
seed = 7

# %%
import asyncio
import signal

import numpy as np

import calolab as cl

# %load_ext calolab

# %% [markdown]
# ## 1. Events, and a score
#
# Pairs of gluinos by Pythia, seen by a calorimeter as images of the whole detector, as in notebook 10. Some are to learn from, some to
# judge every epoch: `ks_comb` adds up minus log p of three Kolmogorov-Smirnov tests, of jet pt, multiplicity and summed mass. Lower is
# better; what real events score against real ones is the floor.

# %%
events = cl.simulate.collisions("rpv", n_train + n_judge, seed=seed, output="images", **masses)
train, judge = events.select(slice(0, n_train)), events.select(slice(n_train, None))
score = cl.training.PhysicsScore(cl.validation.jet_score(judge, seed=seed))
train

# %% [markdown]
# ## 2. Engines, and a training on all of them
#
# Each engine has a core of its own, so that adding engines adds cores. They live on when this kernel ends: after a restart the same line
# finds them again.

# %%
# engines = %ipcluster start $engine_options
engines

# %%
def networks():
    """The RPV GAN of notebook 10, with fewer filters unless the run is a full one."""
    return cl.models.build("rpv", train.space, seed=seed, filters=filters, power=0.3)


def start(batch, **changes):
    """Train it on all engines; `batch` is that of all of them."""
    recipe = cl.training.Recipe.published("rpv", learning_rate=5e-4, **changes)
    return cl.distributed.fit(
        engines, networks(), train, epochs=epochs, batch_size=batch // len(engines), recipe=recipe, physics_score=score, seed=seed
    )


# %% [markdown]
# `fit` returns at once. Every engine holds the networks and a part of the events. After each pass Horovod averages the gradients over all
# engines, so that all take the same step and hold the same weights, bit by bit.

# %%
run = start(batch)
monitor = cl.widgets.TrainingMonitor(run)
monitor

# %%
small = await monitor.wait()  # waits without blocking the kernel; `run.wait()` blocks it
small

# %% [markdown]
# ## 3. Where does the time go?
#
# The report lets engines take steps in turns: one by itself; all at the same time but each by itself; all together with as large a batch
# each (weak scaling); all together with one batch shared (strong scaling). Turns cancel drifts of the machine. In each pass an
# engine stamps when it has its gradients and when it has the average. Until the slowest has its gradients it *waits*; from then on it
# is *allreduce*; the rest is *compute*. The three add up to the step. (These are the published networks, with 64 filters.)

# %%
ranks = [2**k for k in range(11) if 2**k <= len(engines)]
published = networks() if size == "test" else cl.models.build("rpv", train.space)
report = cl.scaling.report(
    engines, published, train, ranks=ranks, batch_size=max(timed_batch, ranks[-1]), steps=steps, rounds=rounds
)
report

# %% [markdown]
# Engines that exchange nothing are the control: what they lose against one engine by itself they lose to each other by sharing memory,
# caches and the processor's clock, or to other programs, and no network could give it back.
#
# ### What to expect of many
#
# A model extrapolates this, the same batch on each engine. Compute stays as measured. The ranks of a ring of *p* send 2(*p* - 1) messages per average, each a *p*-th of
# the gradients: 2(*p* - 1) times the latency and 2(*p* - 1)/*p* times their size over the bandwidth, both measured
# here, and on top Horovod's own time. In each pass all wait for the slowest: the expected largest of *p* normal numbers with the scatter that was
# measured. The second curve is for a network that is stated, not measured; put yours in its place. The points of others are of other networks on
# other hardware, and not all of them count the same time.

# %%
fabric = cl.scaling.Network("stated: 2 us, 12.5 GB/s", latency=2e-6, bandwidth=12.5e9)
report.plot(network=fabric)

# %%
at_1024 = {"measured network": report.predict([1024]), "stated network": report.predict([1024], fabric)}
for name, prediction in at_1024.items():
    print(
        f"{name}: efficiency {prediction.efficiency[0]:.0%} on 1,024 ranks, of each step {prediction.waiting[0] / prediction.step[0]:.0%} "
        f"waiting, {prediction.average[0] / prediction.step[0]:.0%} allreduce (extrapolated)"
    )

# %% [markdown]
# What is not done, and why:
#
# - All gradients of a pass are averaged in one go after it, not layer by layer while the pass still runs. Such an overlap could hide at
#   most what the column *allreduce* says.
# - Gradients travel in float32. In half precision they are half the bytes, but over Gloo on one machine their averages took longer, for
#   its sums of 16-bit numbers are made in software (the 3.5 MB of 3DGAN's generator: 24 instead of 10 ms, on a busy machine). It would pay on networks
#   slower than some 0.3 GB/s.
# - The tensors of a pass are averaged as one group, as quickly as one long vector would be, and 10 to 30 % quicker than one by one.

# %% [markdown]
# ## 4. What large batches do to a GAN
#
# Weak scaling keeps the batch of each engine, so on many engines the batch of a step is large, and an epoch has few steps. Here is
# that without the engines: as many epochs with four times the batch, so with a quarter of the steps. The usual cure is a learning rate that grows
# with the batch (`rate_scaling="linear"`), after a warm-up that spares the first steps (arXiv:1706.02677). It was found for
# classifiers. A GAN plays a game, and nothing says that it holds there.
#
# Equal epochs favour small batches: they take four times as many steps. What many engines buy is that each epoch is over sooner, and a
# fair question is whether the time that is saved pays for the epochs that a large batch needs more.

# %%
large = start(4 * batch).wait()

# %%
scaled = start(4 * batch, rate_scaling="linear", reference_batch=batch, warmup_epochs=epochs / 3).wait()

# %%
floor = small.scores("floor_ks_comb")[0], small.scores("floor_spread_ks_comb")[0]
curves = {
    f"batch {batch}": small.scores("ks_comb"),
    f"batch {4 * batch}": large.scores("ks_comb"),
    f"batch {4 * batch}, rate x 4": scaled.scores("ks_comb"),
}
cl.plots.scaling.scores(curves, floor, name="ks_comb")

# %% [markdown]
# At demo size the GAN first makes events without jets, which scores 1,715. It was trained twice while this was written. With batch 32 it left
# that after five epochs both times, and ended at 224 in one process, at 694 on two engines. With batch 128 and the same learning rate it
# never left it. With four times the rate after a warm-up it did, later: 404 in the eighth epoch and 1,003 in the tenth, the second time 1,034
# and 1,157. So the scaled rate won back a part of what the large batch had lost, and the small batch was ahead. Scores jump by hundreds from
# epoch to epoch and from training to training, two of each are no proof, and all are far from the floor of 2: a few hundred steps are a
# GAN's first minutes.

# %% tags=["summary"]
weak = report.point("weak", ranks[-1])
print(f"{weak.ranks} engines together: {weak.samples_per_second:.0f} samples/s, efficiency {weak.efficiency:.1%} +- {weak.error:.1%}")
for cause, seconds in report.losses().items():
    print(f"  {cause:30} {1e3 * seconds:+8.1f} ms per step")
print(f"ks_comb of {n_judge} events, real against real: {floor[0]:.1f} +- {floor[1]:.1f}")
for name, scores in curves.items():
    print(f"  {name:22} best of {epochs} epochs {min(scores):8.1f}, last {scores[-1]:8.1f}")

# %% [markdown]
# ## 5. Lose an engine, and go on
#
# On many nodes one will fail sooner or later. With `elastic=True` a training goes on from its last checkpoint on the engines that are left, with
# the same batch of all of them together, and takes in new ones when an epoch ends.

# %%
run = cl.distributed.fit(
    engines, networks(), train, epochs=elastic_epochs, batch_size=batch // len(engines), checkpoints=folder, elastic=True, seed=seed
)
while run.status == "running" and not (run.progress and run.progress[0].epoch):
    await asyncio.sleep(0.1)
run

# %%
victim = engines.ids[-1]
engines.client.send_signal(signal.SIGKILL, targets=[victim], block=False)
while run.status == "running" and not run.interruptions:
    await asyncio.sleep(0.1)
run.interruptions

# %% [markdown]
# `scale` starts an engine in its place; when the epoch ends, the training takes it in.

# %%
engines = cl.cluster.scale(engines.size)
survived = run.wait()
print(*run.interruptions, sep="\n")
survived

# %% [markdown]
# ## 6. What must hold
#
# Whatever the size of the run: the parts of a step are the step, the ranks held the same weights, and the training that lost an engine
# finished all of its epochs.

# %%
for point in report.points:
    assert abs(point.compute + point.waiting + point.allreduce - point.step) < 1e-6 * point.step, point
assert all(np.isfinite(scores).all() for scores in curves.values())
assert victim in run.interruptions[0].lost and len(set(run.digests)) == 1
assert len(survived.epochs) == elastic_epochs and not survived.stopped

# %%
# %ipcluster stop
