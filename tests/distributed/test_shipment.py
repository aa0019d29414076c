"""What a script, a notebook or a module beside it defines reaches the engines: functions, callbacks and layers."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from calolab import distributed, models
from calolab.distributed import shipment

# A script's `__main__`: imports, globals, a module beside it, a layer and an activation of its own, all used remotely.
SCRIPT = """
    import math
    import sys

    import keras
    import numpy as np
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
        return GAN("own", space, keras.Model({"latent": latent}, layers.ReLU()(x)), keras.Model(image, heads), 3, ())


    def score(gan):
        return {"ks_comb": min(LIMIT, beside.distance(gan.generate(8, seed=1).values)), "cl": len(cl.__version__)}


    def watch(progress):
        if not math.isfinite(progress.losses["generator"]):
            raise ValueError("not finite")


    if __name__ == "__main__":
        images = np.random.default_rng(0).exponential(1.0, (8, 64, 64))
        sample, gan = cl.Sample(images, {}, space), build()
        before = gan.generator.get_weights()
        recipe = cl.training.Recipe(weights={"generation": 1.0}, objective="non-saturating", learning_rate=1e-3)
        options = {"batch_size": 2, "recipe": recipe, "progress": False}
        engines = cl.distributed.reattach(sys.argv[1])
        physics = cl.training.PhysicsScore(score)
        run = cl.distributed.fit(engines, gan, sample, epochs=1, physics_score=physics, callbacks=[watch], **options)
        history = run.wait(timeout=120)
        assert history.ranks == 2 and history.scores("cl") == [len(cl.__version__)]
        assert 0 <= history.scores("ks_comb")[0] <= LIMIT
        assert any(np.any(a != b) for a, b in zip(before, gan.generator.get_weights(), strict=True))
        report = cl.distributed.scaling_report(engines, gan, sample, steps=2, rounds=1, **options)
        assert report.point("weak", 2).ranks == 2
        print("trained")
"""

BESIDE = """
    import keras
    import numpy as np

    SLOPE = 0.1


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


def test_what_a_script_defines_trains_on_engines(two, tmp_path):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "beside.py").write_text(textwrap.dedent(BESIDE))
    done = subprocess.run([sys.executable, tmp_path / "script.py", two.name], capture_output=True, text=True)
    assert done.stdout.strip().endswith("trained"), done.stdout[-1000:] + done.stderr[-3000:]


def test_what_cannot_be_sent_is_refused_at_once(two, gan, make_electrons):
    import threading

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


def test_packing_leaves_cloudpickle_as_it_was_and_files_hold_no_code(gan, tmp_path):
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    assert shipment.unpack(shipment.pack(test_what_an_engine_lacks_is_named, "A function"), "A function")
    assert cloudpickle.list_registry_pickle_by_value() == before
    gan.save(tmp_path / "saved.gan")
    content = (tmp_path / "saved.gan").read_bytes()
    assert b"cloudpickle" not in content
    sent = shipment.unpack_gan(shipment.pack_gan(gan))
    for here, there in zip(gan.generator.get_weights(), sent.generator.get_weights(), strict=True):
        np.testing.assert_array_equal(here, there)
    with pytest.raises(ValueError, match="not a complete GAN file"):
        (tmp_path / "pickled.gan").write_bytes(cloudpickle.dumps(Elsewhere()))
        models.load(tmp_path / "pickled.gan")
