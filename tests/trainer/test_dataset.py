"""From bytes to arrays: crops stay inside, bombs and rubbish are errors."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.trainer.people import photographs
from training.trainer import dataset


def test_pictures_become_squares_between_minus_one_and_one():
    pixels = dataset.prepare(photographs(3), [None] * 3, resolution=32, margin=2.2)
    assert pixels.shape == (3, 3, 32, 32)
    assert pixels.dtype == np.float32
    assert -1.0 <= pixels.min() < pixels.max() <= 1.0


def test_mirroring_is_off_unless_asked_for():
    plain = dataset.prepare(photographs(2), [None] * 2, resolution=32, margin=2.2)
    both = dataset.prepare(photographs(2), [None] * 2, resolution=32, margin=2.2, flip=True)
    assert len(plain) == 2
    assert np.array_equal(both[:2], plain)
    assert np.array_equal(both[2:], plain[..., ::-1])


@given(
    st.integers(20, 400),
    st.integers(20, 400),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.floats(1, 10),
)
def test_a_crop_is_a_square_inside_the_picture(width, height, edges, margin):
    left, right = sorted((edges[0] * width, edges[1] * width))
    top, bottom = sorted((edges[2] * height, edges[3] * height))
    box = (left, top, right, bottom) if right > left and bottom > top else None
    x0, y0, x1, y1 = dataset.square((width, height), box, margin)
    assert 0 <= x0 < x1 <= width
    assert 0 <= y0 < y1 <= height
    assert x1 - x0 == y1 - y0


def test_a_box_steers_the_crop_to_the_face():
    x0, _, x1, _ = dataset.square((400, 100), (300, 20, 340, 60), 2.0)
    assert x0 <= 300 < 340 <= x1


def test_a_box_outside_its_picture_is_refused():
    with pytest.raises(ValueError, match="outside"):
        dataset.square((100, 100), (50, 50, 150, 90), 2.0)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"0" * 40])
def test_bytes_that_are_no_picture_are_refused(data):
    with pytest.raises(ValueError, match="not a picture"):
        dataset.decode(data)


def test_a_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match="not a picture"):
        dataset.decode(photographs(1)[0])


def test_a_picture_in_grey_becomes_rgb():
    buffer = io.BytesIO()
    Image.new("L", (40, 40), 128).save(buffer, "PNG")
    assert dataset.decode(buffer.getvalue()).mode == "RGB"
