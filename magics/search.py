"""`%search`: hyper-parameter search; each verb calls one function of `calolab.search` and returns its value."""

from __future__ import annotations

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from calolab import cluster, search

from .verbs import VerbParser, positive, read

GIBIBYTE = 2**30


def parser() -> VerbParser:
    """The parser of `%search`."""
    top = VerbParser(prog="%search", description="Search for hyper-parameters.", add_help=False)
    verbs = top.verbs = top.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=VerbParser)

    def verb(name, summary, chosen=True):
        added = verbs.add_parser(name, help=summary, description=summary, add_help=False)
        if chosen:
            added.add_argument("--id", metavar="NAME", help="variable with the search (the newest one)")
        return added

    start = verb("start", "Start a search.", chosen=False)
    start.add_argument("train", help="variable with the training function")
    start.add_argument("space", help="variable with the search space")
    start.add_argument("--folder", required=True, help="folder for all files of the search")
    start.add_argument("--engines", default="engines", metavar="NAME", help="variable with the engines (engines)")
    start.add_argument("--data", metavar="NAME", help="variable with the events")
    start.add_argument("-n", "--trials", type=positive(int), help="total number of trials (20)")
    start.add_argument("--epochs", type=positive(int), help="epochs per trial (10)")
    start.add_argument("--method", help="tpe or random (tpe)")
    start.add_argument("--pruner", help="median or halving (none)")
    start.add_argument("--metric", help="metric to optimise (ks_comb)")
    start.add_argument("--direction", help="minimize or maximize (minimize)")
    start.add_argument("--ranks", type=positive(int), help="engines per trial (1)")
    start.add_argument("--retries", type=int, help="retries of a trial after the loss of an engine (1)")
    start.add_argument("--memory", type=positive(float), metavar="GIB", help="memory limit per engine [GiB] (none)")
    start.add_argument("--seed", type=int, help="seed of the proposals (0)")
    verb("status", "The state of the search.")
    table = verb("table", "The best trials with their metrics.")
    table.add_argument("--top", type=positive(int), default=10, help="number of trials (10)")
    stop = verb("stop", "Stop a trial, or the whole search.")
    stop.add_argument("number", type=int, nargs="?", help="number of the trial; all by default")
    restart = verb("restart", "Run a trial again from scratch.")
    restart.add_argument("number", type=int, help="number of the trial")
    promote = verb("promote", "Continue a trial from its last checkpoint, before all others.")
    promote.add_argument("number", type=int, help="number of the trial")
    promote.add_argument("--epochs", type=positive(int), required=True, help="total number of epochs")
    reattach = verb("reattach", "Continue the search of an earlier kernel.", chosen=False)
    reattach.add_argument("folder", help="folder of the search")
    reattach.add_argument("--engines", metavar="NAME", help="variable with the engines (none: history only)")
    verb("list", "The searches of this kernel.", chosen=False)
    return top


@magics_class
class SearchMagics(Magics):
    """The line magic `%search`."""

    @line_magic
    def search(self, line):
        """`%search start train space --folder f`, `status`, `table`, `stop`, `restart`, `promote`, `reattach`, `-h`."""
        options = read(line, parser())
        if isinstance(options, cluster.Text):
            return options
        options = {name: value for name, value in options.items() if value is not None}
        verb = options.pop("verb")
        try:
            if verb == "list":
                return search.known()
            if verb in ("start", "reattach"):
                return self._start(verb, options)
            running = self._chosen(options.pop("id", None))
            if verb == "status":
                return running
            if verb == "table":
                return running.table(**options)
            getattr(running, verb)(**options)
            return running
        except (ValueError, TypeError, RuntimeError) as error:
            raise UsageError(str(error)) from error

    def _start(self, verb, options):
        for name in {"train", "space", "engines", "data"} & set(options):
            options[name] = self._variable(options[name])
        if verb == "reattach":
            return search.reattach(**options)
        if "memory" in options:
            options["memory"] = int(options["memory"] * GIBIBYTE)
        return search.start(**options)

    def _chosen(self, name):
        if name is not None:
            found = self._variable(name)
            if not isinstance(found, search.Search):
                raise UsageError(f"{name} is not a search, but a {type(found).__name__}.")
            return found
        searches = search.known()
        if not searches:
            raise UsageError("This kernel has no search: `%search start`, or `%search reattach` with its folder.")
        return searches[-1]

    def _variable(self, name):
        if name not in self.shell.user_ns:
            raise UsageError(f"This notebook has no variable {name!r}.")
        return self.shell.user_ns[name]
