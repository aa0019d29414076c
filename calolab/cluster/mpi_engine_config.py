"""Configuration of engines that MPI launches, which ipyparallel reads: no engine reuses the id of an earlier one.

ipyparallel would take the MPI rank as id, also after a restart. But 30 s after an engine has ended, its hub counts all
calls that wait or run under the engine's id as failed, and never removes them: a new engine of that id would be busy
from then on. Here ids begin at `CALOLAB_FIRST_ENGINE_ID` (`launchers.FIRST_ID`) and are in the order of the ranks.
"""

import os

from mpi4py import MPI

config = get_config()  # noqa: F821 - of traitlets, which runs this file
world = MPI.COMM_WORLD
if world.size > 1:
    config.IPEngine.id = int(os.environ["CALOLAB_FIRST_ENGINE_ID"]) + world.rank
    # ipyparallel multiplies this by the id to spread the registrations of many engines [s].
    config.IPEngine.mpi_registration_delay = 0.02 * world.rank / max(1, config.IPEngine.id)
