"""What a script, a notebook or a module beside it defines reaches the engines: functions, callbacks and layers."""

import sys
import textwrap
import threading

import cloudpickle
import numpy as np
import pytest

import calolab
from calolab import Sample, distributed, models, scaling
from calolab.distributed import shipment
from calolab.training import OBJECTIVES, Objective, PhysicsScore, Recipe

# A script: imports, globals, a module beside it, a layer and an activation of its own, all used on the engines.
SCRIPT = """
    import math

    import keras
    from keras import layers, ops

    import beside
    import calolab as cl
    from calolab.models import GAN

    LIMIT = 4.0
    space = cl.spaces.space("whole-detector")


    def leaky(x):
        return ops.maximum(x, beside.SLOPE * x)


    class Scale(layers.Layer):
        def __init__(self, factor, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, x):
            return self.factor * x

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}


    def build():
        latent, image = keras.Input((3,), name="latent"), keras.Input((64, 64, 1))
        x = beside.Shift(1.0)(Scale(0.5)(layers.Dense(64, activation=leaky)(latent)))
        x = layers.UpSampling2D(8)(layers.Reshape((8, 8, 1))(x))
        seen = layers.Flatten(name="features")(layers.AveragePooling2D(8)(Scale(2.0)(image)))
        heads = {"generation": layers.Dense(1)(seen)}
        generator = keras.Model({"latent": latent}, layers.ReLU()(x))
        networks = {"generator": generator, "discriminator": keras.Model(image, heads)}
        return GAN("own", space, networks=networks, latent_size=3, conditions=())


    def score(gan):
        return {"ks_comb": min(LIMIT, beside.distance(gan.generate(8, seed=1).values)), "cl": len(cl.__version__)}


    cl.training.OBJECTIVES["quadratic"] = cl.training.Objective(
        discriminator=lambda scores, real: (scores - real) ** 2, generator=lambda scores: beside.square(scores - 1)
    )


    def watch(progress):
        if not math.isfinite(progress.losses["generator"]):
            raise ValueError("not finite")
"""

BESIDE = """
    import keras
    import numpy as np

    SLOPE = 0.1


    def square(x):
        return x * x


    def distance(values):
        return float(np.abs(values).mean())


    @keras.saving.register_keras_serializable("beside")
    class Shift(keras.layers.Layer):
        def __init__(self, by, **options):
            super().__init__(**options)
            self.by = by

        def call(self, x):
            return x + self.by

        def get_config(self):
            return {**super().get_config(), "by": self.by}
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The namespace of a script whose module `beside` is where no engine looks for modules."""
    (tmp_path / "beside.py").write_text(textwrap.dedent(BESIDE))
    monkeypatch.syspath_prepend(tmp_path)
    namespace = {"__name__": "__main__"}
    exec(textwrap.dedent(SCRIPT), namespace)
    yield namespace
    del sys.modules["beside"], OBJECTIVES["quadratic"]


def test_what_a_script_defines_trains_on_engines(two, script):
    gan, images = script["build"](), np.random.default_rng(0).exponential(1.0, (8, 64, 64))
    before, sample = gan.generator.get_weights(), Sample(images, {}, gan.space)
    recipe = Recipe(weights={"generation": 1.0}, objective="quadratic")
    options = {"batch_size": 2, "recipe": recipe, "progress": False}
    sent = {"physics_score": PhysicsScore(script["score"]), "callbacks": [script["watch"]]}
    history = distributed.fit(two, gan, sample, epochs=1, **sent, **options).wait(timeout=120)
    assert history.settings["recipe"]["objective"] == "quadratic" and history.losses("generator")[0] > 0
    assert history.ranks == 2 and history.scores("cl") == [len(calolab.__version__)]
    assert 0 < history.scores("ks_comb")[0] <= script["LIMIT"]
    assert any(np.any(a != b) for a, b in zip(before, gan.generator.get_weights(), strict=True))
    report = scaling.report(two, gan, sample, steps=2, rounds=1, **options)
    assert report.point("weak", 2).ranks == 2


def test_what_cannot_be_sent_is_refused_at_once(two, gan, make_electrons):
    with pytest.raises(TypeError, match="expects a PhysicsScore, received function: use PhysicsScore"):
        distributed.fit(two, gan, make_electrons(4), epochs=1, physics_score=lambda gan: {"ks_comb": 1.0})
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"callbacks and the physics score cannot be sent to the engines.*lock"):
        distributed.fit(two, gan, make_electrons(4), epochs=1, callbacks=[lambda progress: lock.acquire()])


class Elsewhere:
    def __reduce__(self):
        return (__import__, ("a_module_that_no_engine_has",))


def test_what_an_engine_lacks_is_named(two, gan, make_electrons):
    with pytest.raises(ValueError, match=r"cannot be rebuilt on the engine: .*'a_module_that_no_engine_has'.* Install"):
        run = distributed.fit(two, gan, make_electrons(4), epochs=1, callbacks=[Elsewhere()], progress=False)
        run.wait(timeout=60)


class Content:
    """A function of a module that is not installed, which is sent by value; first something is done."""

    def __init__(self, first):
        self.first = first

    def __reduce__(self):
        self.first()
        return (test_packing_leaves_cloudpickle_as_it_was, ())


def test_threads_that_pack_at_the_same_time_do_not_disturb_each_other():
    before, ended, second = cloudpickle.list_registry_pickle_by_value(), threading.Event(), []
    late = Content(lambda: ended.wait(10))
    thread = threading.Thread(target=lambda: second.append(shipment.pack(late, "A function").tobytes()))
    first = shipment.pack(Content(lambda: (thread.start(), thread.join(0.3))), "A function").tobytes()
    ended.set()
    thread.join()
    assert all(b"list_registry_pickle_by_value" in content for content in (first, *second)) and second
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_added_objectives_are_part_of_what_is_sent(monkeypatch):
    """A training function of a search makes its recipe on the engine."""
    monkeypatch.setitem(OBJECTIVES, "quadratic", Objective(lambda scores, real: scores, lambda scores: scores))
    sent = shipment.pack(lambda: Recipe(objective="quadratic").objective, "A function")
    monkeypatch.delitem(OBJECTIVES, "quadratic")
    assert shipment.unpack(sent, "A function")() == "quadratic"
    monkeypatch.setitem(OBJECTIVES, "hinge", OBJECTIVES["quadratic"])
    with pytest.raises(ValueError, match="'hinge' was replaced: add yours under another name"):
        shipment.pack(len, "A function")


def test_packing_leaves_cloudpickle_as_it_was():
    before = cloudpickle.list_registry_pickle_by_value()
    mine = test_what_an_engine_lacks_is_named  # of a module that is not installed: sent by value
    sent = shipment.unpack(shipment.pack(mine, "A function"), "A function")
    assert sent is not mine and sent.__code__ == mine.__code__
    assert shipment.unpack(shipment.pack(models.load, "A function"), "A function") is models.load
    assert cloudpickle.list_registry_pickle_by_value() == before
