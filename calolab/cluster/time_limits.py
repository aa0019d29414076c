"""All time limits of work on engines, in seconds, each with its reason: nothing waits without one.

Read them as `time_limits.NAME`, never by `from ... import NAME`: tests set shorter ones.
"""

from __future__ import annotations

# Calls on engines (`calls`)
STOP_EVERY = 0.5  # a stop request is repeated: the first may reach an engine before its work listens
INTERRUPT_STOPPED_AFTER = 2.0  # work that ignores a stop request is interrupted: a stop should take about 2 s
INTERRUPT_SURVIVORS_AFTER = 5.0  # ranks that outlive a failed one: Horovod releases most of them at once
INTERRUPT_EVERY = 5.0  # work that catches one interrupt receives the next
GIVE_UP_AFTER = 25.0  # a failure is reported within 30 s, whatever the remaining engines do
REPLACE_AFTER = 30.0  # engines of a trial that do not answer are killed and replaced
ASK_HUB_EVERY = 0.5  # a call sent by another process is polled at the hub, which is shared by all

# Engines and controller
ENGINES_START_WITHIN = 60.0  # Python and ipyparallel load in seconds, on a shared file system in tens of seconds
ENGINES_QUEUE_WITHIN = 600.0  # engines in a batch job wait in the queue first
ENGINES_REPLACED_WITHIN = 30.0  # killing and starting single engines does not involve a queue
ENGINES_END_WITHIN = 2.0  # idle engines end at once, busy ones do not react to SIGTERM and are killed
ENGINES_REPORT_END_WITHIN = 5.0  # a killed engine's nanny reports to the hub before Slurm ends its job
PROCESSES_END_WITHIN = 5.0  # controller and watchdog end in a fraction of a second
HUB_ANSWERS_WITHIN = 5.0  # a controller that is alive answers in milliseconds
HUB_CONNECTS_WITHIN = 10.0  # a new client registers with the hub in a fraction of a second
CONTROLLER_CHECK_EVERY = 3.0  # checking the controller's process takes milliseconds
ENGINE_STATUS_WITHIN = 3.0  # an engine's control thread answers while the engine works
LOAD_MEASURED_OVER = 0.2  # the processor load is what was used between two answers
LINGER = 1.0  # a closed client sends what is left; without a limit it would try to reach a dead controller forever
WATCHDOG_CHECKS_EVERY = 2.0  # or a quarter of the cluster's idle time, where that is shorter
CLUSTER_STOPS_WITHIN = 30.0  # a new client waits for a watchdog that is just stopping the cluster

# Slurm and ssh
SLURM_ANSWERS_WITHIN = 20.0  # a loaded Slurm controller answers in seconds
SLURM_CHECK_EVERY = 1.0  # every query loads the Slurm controller
SLURM_CANCELS_WITHIN = 45.0  # Slurm gives the processes of a cancelled job 30 s (its KillWait)
SSH_COPIES_WITHIN = 30.0  # ssh's own limit for connecting is 10 s

# Before a training (`distributed.meeting`, `distributed.rendezvous`, `distributed.horovod`)
ENGINES_ANSWER_WITHIN = 30.0  # an idle engine imports calolab within seconds
CHECKPOINT_READ_WITHIN = 120.0  # the engine may have to load TensorFlow first
HUB_LAGS = 3.0  # the hub learns a little later than the engines that they are idle again; Dask workers take 1 s to end
RANKS_ARRIVE_WITHIN = (120.0, 90.0)  # per attempt: loading TensorFlow; a failed attempt holds some for Gloo's limit
RENDEZVOUS_CLOSES_AFTER = 300.0  # longer than both attempts together
RENDEZVOUS_ANSWERS_WITHIN = 10.0  # a local server answers in milliseconds
CONNECTION_LISTED_WITHIN = 2.0  # Linux lists connections in pieces: a missing one may appear when they are listed again
GLOO_ANSWERS_WITHIN = 20  # Gloo's connection of one rank to another
HOROVOD_WARNS_AFTER = 60  # ranks wait for one that writes a large checkpoint
HOROVOD_ENDS_AFTER = 300  # a rank that no longer answers must not keep the others forever

# Trainings (`distributed.runs`, `distributed.elastic`, `distributed.rank`)
REPORT_EVERY = 0.25  # of a rank to the client: often enough for a progress bar
RUN_CHECK_EVERY = 0.25  # of an elastic training's thread
NEW_ENGINES_CHECK_EVERY = 2.0  # each check asks the hub
TRAINING_RESUMES_WITHIN = 90.0  # engines that MPI or Slurm starts again are there by then
INTERRUPTED_RUN_STOPS_WITHIN = 60.0  # an interrupted script waits for the ranks to finish their pass

# Searches (`search.driver`, `search.engines`, `search.memory`)
TRIALS_CHECK_EVERY = 0.1  # of the driver's thread, which also wakes up when a trial answers
SEARCH_RETRIES_FOR = 10.0  # hub or engines may be out of reach while engines are replaced
SUSPEND_WITHIN = 60.0  # an interrupted script waits for its trials to stop
SIGNALS_ARRIVE_WITHIN = 5.0  # a stop request must not reach the next trial on the engine
NEW_ENGINE_ANSWERS_WITHIN = 10.0  # an engine that takes longer is executing other work
FREE_ENGINES_CHECK_EVERY = 0.05  # each check asks the hub, trials may take a fraction of a second
MEMORY_CHECK_EVERY = 0.1  # memory fills at gigabytes per second
MEMORY_EXCEEDED_FOR = 5.0  # an interrupted trial has this long to release memory before its engine is killed

# Measurements of scaling (`scaling.measure`, `scaling.rank`)
BLOCK_TAKES = 1800.0  # one block of steps of the largest networks on one core
PING_ANSWERS_WITHIN = 30.0  # the other engine receives its call a little later
SESSION_ENDS_WITHIN = 60.0  # ranks leave Horovod together
