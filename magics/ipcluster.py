"""`%ipcluster`: engines for notebooks: each verb calls one function of `calolab.distributed` and returns its value."""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from calolab import cluster

from .verbs import VerbParser, positive, read


def _list(text):
    return tuple(text.split(","))


def parser() -> VerbParser:
    """The grammar of `%ipcluster`; each verb leaves the function to call in `call`."""
    top = VerbParser(prog="%ipcluster", description="Start, watch and stop engines.", add_help=False)
    verbs = top.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=VerbParser)

    def verb(name, call, summary, named=True):
        added = verbs.add_parser(name, help=summary, description=summary, add_help=False)
        added.set_defaults(call=call)
        if named:
            added.add_argument("--id", dest="name", default="calolab", help="name of the cluster (calolab)")
        return added

    start = verb("start", cluster.start, "Start engines, or find those that run already.")
    start.add_argument("-n", type=positive(int), help="number of engines (2)")
    start.add_argument(
        "--engines", metavar="LAUNCHER", help="local, mpi, srun, slurm or ssh (chosen by Horovod's build)"
    )
    start.add_argument(
        "-c", "--cores", type=positive(int), help="processor cores per engine (this machine's / n; slurm, ssh: 1)"
    )
    start.add_argument("-N", "--nodes", type=positive(int), help="machines over which they spread (slurm, srun)")
    start.add_argument("-q", "--queue", help="partition or quality of service (slurm)")
    start.add_argument("-A", "--account", help="who pays (slurm)")
    start.add_argument("-t", "--time", help="time limit, e.g. 30:00 for half an hour (slurm)")
    start.add_argument("-C", "--constraint", help="features of the nodes, e.g. gpu (slurm)")
    start.add_argument(
        "--option",
        dest="options",
        action="append",
        metavar="OPTION",
        help="one more for #SBATCH: --option=--gres=gpu:1 (slurm)",
    )
    start.add_argument(
        "-m", "--module", dest="modules", action="append", metavar="MODULE", help="a module to load (slurm)"
    )
    start.add_argument("-e", "--conda", metavar="ENVIRONMENT", help="conda environment to activate first (slurm)")
    start.add_argument("--hosts", type=_list, metavar="HOST,HOST", help="machines of the engines (ssh)")
    start.add_argument("--idle", type=positive(float), help="minutes without a client until engines stop (30)")
    start.add_argument("--address", help="where the controller listens (loopback; beyond it this machine's address)")
    start.add_argument("--timeout", type=positive(float), help="seconds to wait for the engines (60; slurm 600)")
    verb("status", cluster.status, "How the engines are.")
    verb("list", cluster.clusters, "All clusters of this profile.", named=False)
    scale = verb("scale", cluster.scale, "Have so many engines: start more, or stop the highest idle ones.")
    scale.add_argument("n", type=positive(int), help="number of engines")
    scale.add_argument("--timeout", type=positive(float), help="seconds to wait for them (60; slurm 600)")
    verb("reattach", cluster.attach, "The engines that run already, for instance after a kernel restart.")
    logs = verb("logs", cluster.logs, "What the controller and the engines have printed.")
    logs.add_argument("--lines", type=positive(int), default=20, help="lines of each log (20)")
    restart = verb("restart", cluster.restart, "Start the engines anew, with empty memories.")
    restart.add_argument("--timeout", type=positive(float), help="seconds to wait for them (60; slurm 600)")
    stop = verb("stop", cluster.stop, "Stop the engines and their controller.")
    stop.add_argument("--all", action="store_true", help="stop every cluster of this profile")
    return top


@magics_class
class EngineMagics(Magics):
    """The line magic `%ipcluster`."""

    @line_magic
    def ipcluster(self, line):
        """Engines: `%ipcluster start -n 2`, `status`, `list`, `logs`, `scale`, `restart`, `reattach`, `stop`, `-h`."""
        options = read(line, parser())
        if isinstance(options, cluster.Text):
            return options
        del options["verb"]
        call = options.pop("call")
        if options.pop("all", False):
            call, options = cluster.stop_all, {}
        try:
            return call(**{name: value for name, value in options.items() if value is not None})
        except (ValueError, RuntimeError, TimeoutError) as error:
            raise UsageError(str(error)) from error
