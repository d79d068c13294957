from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from PIL import Image
from pypdf import PdfReader

from tests.ui.figures import filters, polar, pyramid
from vizkit.contracts import Provenance
from vizkit.errors import SettingError
from vizkit.figure.encode import motion_colors
from vizkit.figure.place import lay_out
from vizkit.figure.spec import FigureSpec, HeatLayer, ImageLayer, Panel
from vizkit.render import paper
from vizkit.render.ink import LABEL_PT, SMALL_PT, line_height, text_width
from vizkit.render.text import row_titles_width
from vizkit.render.theme import FILL_OPACITY, THEMES, VENUES, rgb

SVG = "{http://www.w3.org/2000/svg}"
FORMATS = ("png", "svg", "pdf")


def svg_root(spec, **options):
    return ElementTree.fromstring(paper.save(spec, "svg", **options))


def svg_texts(spec, **options):
    return ["".join(node.itertext()) for node in svg_root(spec, **options).iter(f"{SVG}text")]


def group_paths(root, name):
    group = next(node for node in root.iter(f"{SVG}g") if node.get("id") == name)
    return [[float(number) for number in re.findall(r"-?\d+\.?\d*", path.get("d"))] for path in group.iter(f"{SVG}path")]


def boxes_pt(spec, width):
    """Where the panels lie in the SVG, in points, found from the spec by the documented layout."""
    layout = lay_out(spec.panels, width - 2 * paper.MARGIN, gap=paper.PANEL_GAP, title_height=line_height(LABEL_PT))
    top = paper.MARGIN + line_height(8.0) + paper.BLOCK_GAP
    return [((box.left + paper.MARGIN) * 72, (box.top + top) * 72, box.width * 72) for box in layout.boxes]


def on_page(box, xy, side):
    left, top, width = box
    return [left + (xy[0] + 0.5) * width / side, top + (xy[1] + 0.5) * width / side]


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_figure_gives_the_same_bytes_in_another_process(strip, form, tmp_path):
    (tmp_path / "figure").write_bytes(pickle.dumps(strip))
    code = (
        "import hashlib, pathlib, pickle, sys; from vizkit.render import paper;"
        f"spec = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()); print(hashlib.sha256(paper.save(spec, '{form}')).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path / "figure")], check=True, capture_output=True, text=True)
    assert other.stdout.strip() == hashlib.sha256(paper.save(strip, form)).hexdigest()


def test_the_users_settings_neither_change_the_bytes_nor_are_changed(strip):
    before = paper.save(strip, "pdf")
    with matplotlib.rc_context({"font.size": 30, "pdf.fonttype": 3, "text.parse_math": True, "lines.linewidth": 9}):
        assert paper.save(strip, "pdf") == before
        assert matplotlib.rcParams["pdf.fonttype"] == 3


def test_threads_do_not_disturb_each_other(strip):
    alone = [paper.save(strip, form) for form in FORMATS]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda form: paper.save(strip, form), FORMATS * 2)) == alone * 2


def test_pdf_has_no_type_3_fonts_and_its_words_can_be_found(strip):
    data = paper.save(strip, "pdf")
    assert b"/Type3" not in data
    assert b"/FontFile2" in data
    text = PdfReader(io.BytesIO(data)).pages[0].extract_text()
    for word in ("Correspondences", "t = 3", "in the active set", "feature change (shared)", "A note."):
        assert word in text


def test_svg_keeps_text_as_text(strip):
    texts = svg_texts(strip)
    assert {"Correspondences", "t = 0", "t = 3", "filtered", "A note.", "full colour = 8 px/frame"} <= set(texts)


@pytest.mark.parametrize("form", ["svg", "pdf"])
def test_frames_are_embedded_at_their_own_resolution(strip, form):
    data = paper.save(strip, form)
    if form == "pdf":
        sizes = [image.image.size for image in PdfReader(io.BytesIO(data)).pages[0].images]
    else:
        sizes = [
            (int(float(node.get("width"))), int(float(node.get("height")))) for node in ElementTree.fromstring(data).iter(f"{SVG}image")
        ]
    assert sizes.count((56, 56)) == 4


def test_arrows_start_at_the_query_and_point_at_their_matches(strip):
    root, boxes = svg_root(strip), boxes_pt(strip, 6.875)
    lines, heads = group_paths(root, "links-active-lines"), group_paths(root, "links-active-heads")
    assert len(lines) == len(heads) == 2
    for line, head, (panel, xy) in zip(lines, heads, ((2, (24.0, 32.0)), (3, (44.0, 20.0))), strict=True):
        assert line[:2] == pytest.approx(on_page(boxes[1], (20.0, 28.0), 56), abs=0.01)
        tip = on_page(boxes[panel], xy, 56)
        assert head[:2] == pytest.approx(tip, abs=0.01)
        cell = 4 * boxes[panel][2] / 56
        assert np.hypot(line[-2] - tip[0], line[-1] - tip[1]) < cell  # the head is at most one cell long


def test_filtered_arrows_are_dashed_blue_and_lie_under_the_red_ones(strip):
    data = paper.save(strip, "svg").decode()
    filtered, active = data.index('id="links-filtered-heads"'), data.index('id="links-active-line-casing"')
    assert filtered < active
    for role, dashed in (("filtered", True), ("active", False)):
        part = data[data.index(f'id="links-{role}-lines"') : data.index(f'id="links-{role}-heads"')]
        assert ("stroke-dasharray" in part) == dashed
        assert f"stroke: {THEMES['light'].roles[role].color}" in part


def test_weight_is_opacity(strip):
    data = paper.save(strip, "svg").decode()
    part = data[data.index('id="links-active-lines"') : data.index('id="links-active-heads"')]
    assert re.findall(r"(?:stroke-)?opacity: (0\.\d+)", part) == ["0.6"]  # weights 0.6 and 1


@pytest.mark.parametrize("venue", VENUES)
def test_the_page_has_the_width_of_the_venue(strip, venue):
    page = PdfReader(io.BytesIO(paper.save(strip, "pdf", venue))).pages[0]
    assert float(page.mediabox.width) == pytest.approx(VENUES[venue] * 72, abs=0.01)


def test_an_unknown_venue_lists_the_known_ones(strip):
    with pytest.raises(SettingError, match="cvpr-column"):
        paper.save(strip, "pdf", "nature")


@pytest.mark.parametrize("venue", ["cvpr", "cvpr-column"])
def test_no_text_is_smaller_than_6_pt_or_runs_over_the_page(strip, venue):
    long = replace(
        strip, title="word " * 40, notes=("x" * 400,), panels=tuple(replace(panel, title="t = 12345678901234") for panel in strip.panels)
    )
    sizes = re.findall(r"font: ([\d.]+)px|font-size: ([\d.]+)px", paper.save(long, "svg", venue).decode())
    assert min(float(short or full) for short, full in sizes) >= SMALL_PT
    pixels = np.asarray(Image.open(io.BytesIO(paper.save(long, "png", venue))).convert("RGB"))
    assert (pixels[:, :2] == 255).all()
    assert (pixels[:, -2:] == 255).all()


def test_user_text_is_never_mathematics_or_markup(strip):
    odd = r"$\frac{1}{0}$ a_b <script> & 100 %"
    assert {odd} <= set(svg_texts(replace(strip, title=odd, notes=(odd,))))


def test_text_that_xml_cannot_hold_is_replaced(strip):
    texts = svg_texts(replace(strip, title="a\x00b\udc80c\nd"))
    assert "a\ufffdb\ufffdc d" in texts


def test_the_caption_is_printed_only_when_asked(strip):
    assert strip.caption not in svg_texts(strip)
    assert strip.caption in svg_texts(strip, caption=True)


@pytest.mark.parametrize(("origin", "printed"), [("random", True), ("trained", False)])
def test_random_weights_are_named_under_the_figure(strip, origin, printed):
    made = replace(strip.provenance, origin=origin)
    assert isinstance(made, Provenance)
    lines = [text for text in svg_texts(replace(strip, provenance=made)) if text.startswith("Random weights")]
    assert bool(lines) == printed
    if printed:
        assert "cpnet-18" in lines[0]
        assert "cups.mp4" in lines[0]


def test_every_format_carries_the_recipe(strip):
    png = Image.open(io.BytesIO(paper.save(strip, "png")))
    assert json.loads(png.info["Description"]) == strip.recipe
    assert png.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert json.loads(PdfReader(io.BytesIO(paper.save(strip, "pdf"))).metadata["/Keywords"]) == strip.recipe
    description = svg_root(strip).find(".//{http://purl.org/dc/elements/1.1/}description")
    assert json.loads(description.text) == strip.recipe


def test_a_recipe_too_long_for_metadata_is_named_by_its_digest(strip):
    huge = replace(strip, recipe={"points": list(range(20000))})
    held = json.loads(Image.open(io.BytesIO(paper.save(huge, "png"))).info["Description"])
    assert list(held) == ["recipe_sha256"]
    assert len(held["recipe_sha256"]) == 64


def test_heat_is_drawn_where_its_cells_are_and_nothing_where_it_is_unknown():
    values = np.zeros((7, 7), np.float32)
    values[2, 5] = 1
    values[6, 6] = np.nan
    image = ImageLayer(np.full((28, 28, 3), 255, np.uint8))
    panel = Panel("p", "", (28, 28), 0, 0, (image, HeatLayer(values, 0.0, 4.0, (0.0, 1.0), "h", colors="gray", opacity=1.0, smooth=False)))
    picture = Image.open(io.BytesIO(paper.save(FigureSpec("", "", "", (panel,)), "png", "cvpr-column"))).convert("L")
    pixels = np.asarray(picture).astype(int)
    side = paper.MAX_PANEL_WIDTH * 300
    left, top = (picture.width - side) / 2, paper.MARGIN * 300

    def at(x, y):
        return pixels[round(top + (y + 0.5) * side / 28), round(left + (x + 0.5) * side / 28)]

    assert at(20, 8) == 255  # the impulse, cell (5, 2)
    assert at(16, 8) == 0
    assert at(20, 12) == 0
    assert at(24, 24) == 255  # the unknown cell: the white picture below shows


def print_pixels(spec, venue="cvpr-column"):
    return np.asarray(Image.open(io.BytesIO(paper.save(spec, "png", venue))).convert("RGB")).astype(int)


def panel_pixel(pixels, spec, number, xy, venue="cvpr-column"):
    """Colour of a print at a panel's pixel; the figure's title has one line, row titles are measured as documented."""
    inner = VENUES[venue] - 2 * paper.MARGIN
    indent = row_titles_width(spec.panels, partial(text_width, size_pt=LABEL_PT), paper.ROW_TITLE_GAP)
    limits = {"max_panel_width": paper.MAX_PANEL_WIDTH, "max_height": paper.MAX_PANELS_HEIGHT}
    boxes = lay_out(spec.panels, inner, gap=paper.PANEL_GAP, title_height=line_height(LABEL_PT), indent=indent, **limits).boxes
    top = paper.MARGIN + (line_height(8.0) + paper.BLOCK_GAP if spec.title else 0)
    x, y = boxes[number].at(np.array(xy, np.float64), spec.panels[number])
    return pixels[int((y + top) * 300), int((x + paper.MARGIN) * 300)]


@pytest.mark.parametrize("backdrop", ["white", "picture"])
def test_motion_has_the_wheel_s_colours_where_its_cells_are(backdrop):
    spec = pyramid(2, 64, backdrop=backdrop)
    pixels = print_pixels(spec)
    picture, layer = spec.panels[3].layers[0], spec.panels[4].layers[-1]
    for row, column in ((3, 12), (12, 3), (8, 8)):
        xy = (layer.origin_px + column * layer.stride_px, layer.origin_px + row * layer.stride_px)
        red, green, blue, alpha = motion_colors(layer.vectors[row, column], layer.confidence[row, column], 8.0, backdrop).astype(int)
        below = picture.pixels[int(xy[1]), int(xy[0])] if backdrop == "picture" else np.full(3, 255)
        expected = below + (np.array([red, green, blue]) - below) * alpha / 255
        assert np.abs(panel_pixel(pixels, spec, 4, xy) - expected).max() <= 12  # a print pixel lies up to half a cell pixel off


def test_unknown_motion_is_white_or_the_picture():
    layer = pyramid(1, 64).panels[1].layers[0]
    xy = (layer.origin_px + 2 * layer.stride_px, layer.origin_px + layer.stride_px)
    spec = pyramid(1, 64)
    assert panel_pixel(print_pixels(spec), spec, 1, xy).tolist() == [255, 255, 255]
    spec = pyramid(1, 64, backdrop="picture")
    assert np.abs(panel_pixel(print_pixels(spec), spec, 1, xy) - spec.panels[0].layers[0].pixels[4, 8]).max() <= 4


def test_panels_without_a_picture_show_the_page_and_no_black():
    spec = polar()
    pixels = print_pixels(spec)
    assert panel_pixel(pixels, spec, 0, (5, 5)).tolist() == [255, 255, 255]
    inside = panel_pixel(pixels, spec, 0, (90, 60))
    region, page = np.array(rgb(THEMES["light"].roles["region"].color)), 255
    assert np.abs(inside - (page + FILL_OPACITY * (region - page))).max() <= 2


def test_outlines_are_vectors_at_their_corners_and_only_filled_ones_are_filled():
    root = svg_root(polar())
    assert len(group_paths(root, "outlines-neutral-lines")) == 2
    petals = group_paths(root, "outlines-region-lines")
    assert len(petals) == 3
    (box,) = [(width / 2 - 1.2 * 72, 0, 2.4 * 72) for width in (6.875 * 72,)]
    assert petals[0][0] == pytest.approx(box[0] + 60.5 / 120 * box[2], abs=0.01)
    data = paper.save(polar(), "svg").decode()
    for role, fill in (("neutral", "fill: none"), ("region", f"fill: {THEMES['light'].roles['region'].color}")):
        assert fill in re.search(rf'id="outlines-{role}-lines">.*?style="(.*?)"', data, re.DOTALL)[1]


def test_peaks_are_white_on_a_dark_casing():
    data = paper.save(filters(1, 2), "svg").decode()
    part = data[data.index('id="arrows-peak-line-casing"') : data.index('id="arrows-peak-heads"')]
    assert part.index("stroke: #000000") < part.index("stroke: #ffffff")


@pytest.mark.parametrize(("rows", "columns", "venue"), [(4, 8, "cvpr-column"), (2, 16, "cvpr"), (2, 16, "cvpr-column")])
def test_headings_of_a_grid_do_not_overlap_and_nothing_is_cut(rows, columns, venue):
    spec = filters(rows, columns)
    root = svg_root(spec, venue=venue)
    texts = {"".join(node.itertext()): node for node in root.iter(f"{SVG}text")}
    assert {f"t = {row}" for row in range(rows)} <= set(texts)
    names = [f"c {column}" for column in range(columns)]
    if not set(names) <= set(texts):  # a row drops what its titles share before one of them is cut
        names = [f"{column}" for column in range(columns)]
        assert set(names) <= set(texts)
    assert not any("…" in text for text in texts)
    layout = lay_out(spec.panels, VENUES[venue] - 2 * paper.MARGIN, gap=paper.PANEL_GAP, indent=0.3)
    assert max(text_width(name, SMALL_PT) for name in names) <= layout.boxes[0].width + layout.gap


def test_arrows_inside_a_panel_are_clipped_to_it(plain):
    root = svg_root(plain)
    parts = [node for node in root.iter(f"{SVG}g") if (node.get("id") or "").startswith("arrows-active")]
    assert len(parts) == 4
    assert all("clip-path" in path.attrib for part in parts for path in part.iter(f"{SVG}path"))


def test_figures_without_arrows_or_panels_are_drawn(without_arrows, strip):
    assert "links" not in paper.save(without_arrows, "svg").decode()
    empty = replace(strip, panels=(), links=())
    assert "A note." in svg_texts(empty)
