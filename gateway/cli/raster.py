"""The simulator's pictures as PNG, for whoever cannot show an SVG: the few shapes that `dwa/simulate/plot.py` writes.

Drawn by Pillow, which brings a font along. Not by a renderer of any SVG: those in wheels take the machine's fonts, and
where it has none, as in small containers, leave out every word.
"""

from __future__ import annotations

import io
from functools import lru_cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from PIL import Image, ImageColor, ImageDraw, ImageFont

#: Pixels per unit of the SVG: two are sharp on dense screens and in print.
_SCALE = 2
#: Drawn so many times larger and scaled down, since Pillow's edges are jagged.
_SMOOTH = 2
_UNIT = _SCALE * _SMOOTH
_TEXT = "12"
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}

Colour = tuple[int, int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def png(svg: str) -> bytes:
    """The picture. ValueError for a shape that `plot.py` does not write."""
    root = ElementTree.fromstring(svg)
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    image = Image.new("RGB", (width * _UNIT, height * _UNIT), "white")
    # As RGBA it blends what is drawn, and does not just put it there.
    canvas = ImageDraw.Draw(image, "RGBA")
    for shape in root:
        _put(canvas, shape.tag.rpartition("}")[2], shape)
    file = io.BytesIO()
    image.reduce(_SMOOTH).save(file, "PNG", optimize=True)
    return file.getvalue()


def _put(canvas: ImageDraw.ImageDraw, tag: str, shape: Element) -> None:
    if tag == "rect":
        x, y = _at(shape, "x", "y")
        width, height = _at(shape, "width", "height")
        canvas.rectangle((x, y, x + width, y + height), fill=_colour(shape, "fill"))
    elif tag == "line":
        canvas.line((*_at(shape, "x1", "y1"), *_at(shape, "x2", "y2")), fill=_colour(shape, "stroke"), width=_UNIT)
    elif tag == "polygon":
        canvas.polygon(_points(shape), fill=_colour(shape, "fill"))
    elif tag == "polyline":
        thick = round(float(shape.attrib["stroke-width"]) * _UNIT)
        canvas.line(_points(shape), fill=_colour(shape, "stroke"), width=thick, joint="curve")
    elif tag == "text":
        size = float(shape.get("font-size", _TEXT)) * _UNIT
        anchor = _ANCHORS[shape.get("text-anchor", "start")]
        canvas.text(_at(shape, "x", "y"), shape.text or "", "black", _font(size), anchor)
    else:
        raise ValueError(f"no shape of our pictures: {tag}")


def _at(shape: Element, across: str, down: str) -> tuple[float, float]:
    return float(shape.get(across, "0")) * _UNIT, float(shape.get(down, "0")) * _UNIT


def _points(shape: Element) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in shape.attrib["points"].split())
    return [(float(x) * _UNIT, float(y) * _UNIT) for x, y in pairs]


def _colour(shape: Element, name: str) -> Colour:
    red, green, blue = ImageColor.getrgb(shape.attrib[name])[:3]
    return red, green, blue, round(255 * float(shape.get("fill-opacity", "1")))


@lru_cache
def _font(size: float) -> Font:
    return ImageFont.load_default(size)
