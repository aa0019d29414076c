"""`%ipcluster`: engines for notebooks; each verb calls one function of `calolab.cluster` and returns its value."""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from calolab import cluster

from .verbs import VerbParser, positive, read


def _list(text):
    return tuple(text.split(","))


def parser() -> VerbParser:
    """The parser of `%ipcluster`; the option `call` is the function of the verb."""
    top = VerbParser(prog="%ipcluster", description="Start, watch and stop engines.", add_help=False)
    verbs = top.verbs = top.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=VerbParser)

    def verb(name, call, summary, named=True):
        added = verbs.add_parser(name, help=summary, description=summary, add_help=False)
        added.set_defaults(call=call)
        if named:
            added.add_argument("--id", dest="name", default="calolab", help="name of the cluster (calolab)")
        return added

    start = verb("start", cluster.start, "Start engines, or connect to those that are already running.")
    start.add_argument("-n", type=positive(int), help="number of engines (2)")
    start.add_argument("--engines", metavar="LAUNCHER", help="local, mpi, srun, slurm or ssh (depends on Horovod)")
    start.add_argument(
        "-c",
        "--cores",
        type=positive(int),
        help="processor cores per engine (all of this machine / n; slurm, ssh: 1)",
    )
    start.add_argument("-N", "--nodes", type=positive(int), help="number of machines (slurm, srun)")
    start.add_argument("-q", "--queue", help="partition or quality of service (slurm)")
    start.add_argument("-A", "--account", help="account to charge (slurm)")
    start.add_argument("-t", "--time", help="time limit, e.g. 30:00 for half an hour (slurm)")
    start.add_argument("-C", "--constraint", help="required features of the nodes, e.g. gpu (slurm)")
    start.add_argument(
        "--option",
        dest="options",
        action="append",
        metavar="OPTION",
        help="another option for #SBATCH: --option=--gres=gpu:1 (slurm)",
    )
    start.add_argument(
        "-m", "--module", dest="modules", action="append", metavar="MODULE", help="environment module to load (slurm)"
    )
    start.add_argument("-e", "--conda", metavar="ENVIRONMENT", help="conda environment to activate (slurm)")
    start.add_argument("--hosts", type=_list, metavar="HOST,HOST", help="machines of the engines (ssh)")
    start.add_argument("--idle", type=positive(float), help="minutes without a client after which engines stop (30)")
    start.add_argument("--address", help="address of the controller (loopback, or that of this machine)")
    start.add_argument("--timeout", type=positive(float), help="seconds to wait for the engines (60; slurm 600)")
    verb("status", cluster.status, "The state of the engines.")
    verb("list", cluster.clusters, "All clusters of this profile.", named=False)
    scale = verb("scale", cluster.scale, "Change the number of engines: start more, or stop idle ones.")
    scale.add_argument("n", type=positive(int), help="number of engines")
    scale.add_argument("--timeout", type=positive(float), help="seconds to wait for them (60; slurm 600)")
    verb("reattach", cluster.attach, "Connect to running engines, for instance after a kernel restart.")
    logs = verb("logs", cluster.logs, "The logs of the controller and the engines.")
    logs.add_argument("--lines", type=positive(int), default=20, help="number of lines of each log (20)")
    restart = verb("restart", cluster.restart, "Restart the engines as fresh processes.")
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
