"""The page in a real Chromium, from disk: what a person does with it, and that the console stays silent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from restorekit.evaluation import (
    Gallery,
    Protocol,
    Report,
    Sample,
    Score,
    Subject,
    as_it_is,
    comparison_page,
    evaluate_samples,
    report_page,
    write_text,
)
from restorekit.evaluation.comparison import Versions, exhibits_of
from restorekit.evaluation.gallery import encode
from restorekit.evaluation.subjects import Answer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
REQUIRED = bool(CHROMIUM) and os.environ.get("CI") == "true"
"""Whether to fail rather than skip for want of driver or selenium: a CI that has a browser must not pass without these tests."""

load = import_module if REQUIRED else pytest.importorskip
webdriver: Any = load("selenium.webdriver")
ui: Any = load("selenium.webdriver.support.ui")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not REQUIRED and not (CHROMIUM and DRIVER), reason="no Chromium with its driver is installed"),
]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
    "--window-size=1200,900",
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images; ``m`` makes the first two worse and the others better."""
    random = np.random.default_rng(0)

    def samples() -> Iterator[Sample]:
        for number in range(12):
            target = random.integers(60, 200, (40, 60, 3)).astype(np.uint8)
            target = np.kron(target[::10, ::10], np.ones((10, 10, 1), np.uint8))
            noise = random.normal(0, 12, target.shape)
            yield Sample(f"image {number}", (target + noise).clip(0, 255).astype(np.uint8), target)

    def restore(sample: Sample) -> Answer:
        share = 0.2 if int(sample.name.split()[1]) < 2 else -0.1 * int(sample.name.split()[1])
        moved = sample.target + (1 + share * 0.5) * (np.asarray(sample.image, np.float64) - np.asarray(sample.target))
        return Answer(moved.clip(0, 255).astype(np.uint8))

    gallery = Gallery()
    subjects = [as_it_is("input"), Subject("m", restore)]
    report = evaluate_samples(samples(), subjects, Protocol(), gallery=gallery)
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_text(report_page(report, gallery.show(), title="A report"), path)
    return path


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    assert DRIVER, f"{CHROMIUM} has no chromedriver beside it"
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium: Any, page: Path) -> Iterator[Any]:
    """The page, newly opened; afterwards nothing may stand in the console, nor have been asked of the network."""
    chromium.get(page.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []
    asked = [entry["message"] for entry in chromium.get_log("performance") if "Network.requestWillBeSent" in entry["message"]]
    assert [message for message in asked if '"url":"http' in message] == []


@pytest.fixture
def phone(chromium: Any) -> Iterator[Any]:
    """The screen of a telephone, 390 pixels wide."""
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    yield chromium
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def find(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def texts(driver: Any, selector: str) -> list[str]:
    return [element.text for element in driver.find_elements("css selector", selector)]


def keys(driver: Any, *presses: str) -> None:
    webdriver.ActionChains(driver).send_keys(*presses).perform()


def ready(driver: Any) -> None:
    ui.WebDriverWait(driver, 20).until(lambda driver: find(driver, "canvas").get_attribute("data-ready"))


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("\u2212", "-")) for text in texts]


def test_tables_sort_and_begin_with_the_worst(opened: Any) -> None:
    cells = "#scores-table tbody td:nth-child(2)"
    gains = numbers(texts(opened, cells))
    assert len(gains) == 12 and gains == sorted(gains) and gains[0] < 0
    find(opened, '#scores-table th[data-column="m"] button').click()
    assert numbers(texts(opened, cells)) == sorted(gains, reverse=True)
    assert find(opened, '#scores-table th[data-column="m"]').get_attribute("aria-sort") == "descending"
    find(opened, '#scores-table th[data-column="image"] button').click()
    assert texts(opened, "#scores-table tbody td:first-child")[-2:] == ["image 10", "image 11"]
    find(opened, '#metric button[data-value="psnr"]').click()
    assert len(texts(opened, "#scores-table thead th")) == 3
    find(opened, "#find").send_keys("11")
    assert texts(opened, "#scores-table tbody td:first-child") == ["image 11"]


def test_the_slider_moves_by_hand_and_by_keys(opened: Any) -> None:
    handle = find(opened, ".handle")
    assert handle.get_attribute("aria-valuenow") == "50"
    width = find(opened, ".pane").size["width"]
    webdriver.ActionChains(opened).drag_and_drop_by_offset(handle, round(width * 0.25), 0).perform()
    assert int(handle.get_attribute("aria-valuenow")) == pytest.approx(75, abs=1)
    clip = opened.execute_script("return getComputedStyle(document.querySelectorAll('.layer')[1]).clipPath")
    assert clip.startswith("inset(0px 0px 0px 7")
    opened.execute_script("arguments[0].focus()", handle)
    keys(opened, "\ue011")  # Home
    assert handle.get_attribute("aria-valuenow") == "0"
    keys(opened, "\ue014", "\ue014")  # right, twice
    assert handle.get_attribute("aria-valuenow") == "4"


def test_one_zoom_and_place_for_all_panes(opened: Any) -> None:
    keys(opened, "b", "4")
    assert len(opened.find_elements("css selector", ".pane")) == 3
    transforms = "return [...document.querySelectorAll('.pane img')].map((image) => image.style.transform)"
    before = opened.execute_script(transforms)
    assert len(set(before)) == 1 and before[0].endswith("scale(4)")
    opened.execute_script(
        "document.getElementById('stage').style.height = '120px'; place(); document.getElementById('stage').focus()"
    )
    shrunk = opened.execute_script(transforms)
    keys(opened, "\ue015")  # down
    after = opened.execute_script(transforms)
    assert len(set(after)) == 1 and after != shrunk
    keys(opened, "1")
    assert opened.execute_script(transforms)[0].endswith("scale(1)")
    assert opened.execute_script("return document.querySelector('.layer').classList.contains('sharp')")


def test_the_difference_is_that_of_the_pixels(opened: Any) -> None:
    keys(opened, "d")
    ready(opened)
    total = """
        const canvas = document.querySelector("canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.reduce((sum, value, index) => sum + (index % 4 === 3 ? 0 : value), 0);
    """
    unlike = opened.execute_script(total)
    assert find(opened, ".label").text == "|target \u2212 m| \u00d7 4"
    ui.Select(find(opened, "#right")).select_by_visible_text("target")
    ready(opened)
    assert unlike > 0 and opened.execute_script(total) == 0
    opened.execute_script("document.activeElement.blur()")
    keys(opened, "s")
    assert find(opened, ".at-left").text == "input"


def test_images_are_chosen_by_key_list_and_table(opened: Any) -> None:
    current = "#list button[aria-current='true']"
    first = find(opened, current).text.splitlines()[0]
    assert first == texts(opened, "#scores-table tbody td:first-child")[0]
    keys(opened, "n")
    assert find(opened, current).text.splitlines()[0] == texts(opened, "#scores-table tbody td:first-child")[1]
    keys(opened, "p")
    assert find(opened, current).text.splitlines()[0] == first
    opened.execute_script("document.querySelectorAll('#scores-table .open')[4].click()")
    name = texts(opened, "#scores-table tbody td:first-child")[4]
    assert find(opened, "#caption").text.startswith(f"{name}, 60 \u00d7 40")
    assert find(opened, ".pane img").get_attribute("alt") == f"{name}, input"


def test_a_comparison_shows_the_part_that_differs(chromium: Any, tmp_path: Path) -> None:
    quiet = np.full((80, 100, 3), 90, np.uint8)
    marked = quiet.copy()
    marked[50:60, 70:80] = 200
    exhibits = exhibits_of(Versions("x", {"a": quiet, "b": marked}), [(1, 2, 30, 20)], pixels=1200)
    write_text(comparison_page(encode(exhibits, 1 << 20), title="a / b"), tmp_path / "comparison.html")
    chromium.get((tmp_path / "comparison.html").as_uri())
    assert find(chromium, "#facts").text.startswith("2 versions")
    assert "where the first two differ most" in find(chromium, "#caption").text
    assert not find(chromium, "#scores").is_displayed() and not find(chromium, "#summary").is_displayed()
    keys(chromium, "n")
    assert find(chromium, "#caption").text == "x at 1,2, 100 \u00d7 80; shown is the part of 30 \u00d7 20 at 1, 2"
    assert chromium.get_log("browser") == []


def test_the_target_comes_to_the_right_and_goes(opened: Any) -> None:
    keys(opened, "t")
    assert find(opened, ".at-right").text == "target"
    keys(opened, "t")
    assert find(opened, ".at-right").text == "m"


def test_the_histogram_counts_every_image(opened: Any) -> None:
    bars = opened.execute_script(
        "return [...document.querySelectorAll('#histograms rect')].map((bar) => [bar.dataset.count, bar.classList[0]])"
    )
    assert sum(int(count) for count, _ in bars) == 12
    assert sum(int(count) for count, kind in bars if kind == "down") == 2
    assert "12 images, 2 worse than the input" in find(opened, "figcaption").text


def test_light_dark_and_narrow(opened: Any) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = opened.execute_script(ground)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    dark = opened.execute_script(ground)
    assert light == "rgb(251, 251, 250)" and dark == "rgb(20, 22, 24)"
    find(opened, "#theme").click()
    assert opened.execute_script(ground) == light
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    narrow = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= 360  # tables scroll, the page does not
    keys(opened, "1")
    assert find(opened, ".pane img").get_attribute("style").endswith("scale(0.5);")  # a pixel of the screen
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_long_names_stay_readable_on_a_phone(phone: Any, tmp_path: Path) -> None:
    metrics = ("psnr", "ssim", "ms-ssim")
    subjects = ("input", *(f"multi-output-compact-trained-on-my-own-photographs-{n}" for n in range(4)))
    scores = [Score(f"n{n}", s, dict.fromkeys(metrics, 0.5 + n / 9)) for n in range(3) for s in subjects]
    versions = Versions("n0", dict.fromkeys(subjects, np.full((40, 60, 3), 90, np.uint8)))
    pictures = encode(exhibits_of(versions, [(0, 0, 20, 20)], pixels=10_000), 1 << 20)
    write_text(report_page(Report(Protocol(), metrics, subjects, tuple(scores)), pictures), tmp_path / "report.html")
    phone.get((tmp_path / "report.html").as_uri())
    width, line = phone.execute_script(
        "const cell = document.querySelectorAll('#summary-table tbody th')[1];"
        "return [cell.getBoundingClientRect().width, parseFloat(getComputedStyle(cell).lineHeight)]"
    )
    assert width >= 120  # eight of the 15 pixels a letter may take
    assert find(phone, "#summary-table").size["height"] < 40 * line
    assert find(phone, "#list").location["y"] > 844 and phone.execute_script("return scrollY") == 0  # it opens at its top
    assert phone.execute_script("return document.documentElement.scrollWidth") == 390


def test_a_label_has_the_pane_for_itself_where_it_is_alone(chromium: Any, tmp_path: Path) -> None:
    name = "multi-output-compact-" * 8
    pictures = {label: np.full((40, 60, 3), value, np.uint8) for value, label in enumerate((name, "b", "c"))}
    exhibits = exhibits_of(Versions("x", pictures), [], pixels=10_000)
    write_text(comparison_page(encode(exhibits, 1 << 20)), tmp_path / "comparison.html")
    chromium.get((tmp_path / "comparison.html").as_uri())
    share = "return document.querySelector('.label').offsetWidth / document.querySelector('.pane').clientWidth"
    assert chromium.execute_script(share) < 0.5  # the slider has another on the right
    keys(chromium, "b")
    assert 0.9 < chromium.execute_script(share) < 1
