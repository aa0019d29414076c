import pytest

from calolab import models


def test_unknown_names_and_settings_list_the_nearest():
    with pytest.raises(ValueError, match="'3dgna'.*Nearest: 3dgan"):
        models.build("3dgna", "clic-ecal")
    with pytest.raises(ValueError, match="'latent'.*Nearest: latent_size"):
        models.build("3dgan", "clic-ecal", latent=100)
    with pytest.raises(ValueError, match="Unknown space"):
        models.build("3dgan", "clic")


def test_settings_reach_the_architecture():
    gan = models.build("3dgan", "clic-ecal", latent_size=50)
    assert gan.latent_size == 50
    assert gan.settings["latent_size"] == 50
