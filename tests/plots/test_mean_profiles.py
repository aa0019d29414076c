import numpy as np
import pytest

from calolab import spaces
from calolab.plots import mean_profiles


def test_means_and_ratio_stand_in_the_panels():
    space = spaces.space("clic-ecal")
    rng = np.random.default_rng(2)
    profiles = {name: {axis: rng.gamma(4, 0.1, (30, 25)) for axis in "zx"} for name in ("reference", "generated")}
    figure = mean_profiles.show(space, profiles, title="10 to 20 GeV")
    upper, lower = figure.axes[0], figure.axes[2]
    lines = [patch for patch in upper.patches if not patch.get_fill()]
    means = [by_axis["z"].mean(axis=0) for by_axis in profiles.values()]
    for line, mean in zip(lines, means, strict=True):
        assert line.get_data().values == pytest.approx(mean)
        assert line.get_data().edges == pytest.approx(space.edges("z"))
    ratio = [patch for patch in lower.patches if not patch.get_fill()][1]
    assert ratio.get_data().values == pytest.approx(means[1] / means[0])
    assert upper.get_legend().get_title().get_text() == "10 to 20 GeV"


def test_one_sample_has_no_ratio():
    space = spaces.space("clic-ecal")
    figure = mean_profiles.show(space, {"reference": {"z": np.ones((5, 25))}}, log=True)
    assert len(figure.axes) == 1
    assert figure.axes[0].get_yscale() == "log"
