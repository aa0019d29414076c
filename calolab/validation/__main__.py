"""`python -m calolab.validation reference.hdf5 generated.hdf5 --out DIR`: scorecards of files."""

from calolab.validation.scorecards.command import main

raise SystemExit(main())
