"""Measured and published numbers: which are compared, which are only shown, and what the caption says of both."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from omegaconf import OmegaConf

from reports.errors import ReportError
from reports.model import Sheet
from reports.tables import literature, published
from reports.tables.literature import FLAWS, SETTINGS, VARIANTS, read_published, settings_of
from reports.tables.published import published_sheets
from store.tags import RESULTS
from tests.conftest import PROJECT_ROOT
from tests.reports.made import NAN, cells, over_seeds

REAL = read_published()
CATEGORIES = [str(name) for name in pd.unique(REAL.loc[REAL["dataset"] == "mvtec_ad", "category"])][:-1]
CONF = PROJECT_ROOT / "conf"


def load(*path: str) -> dict[str, Any]:
    """Return the content of a YAML of the configuration."""
    loaded = OmegaConf.to_container(OmegaConf.load(CONF.joinpath(*path)), resolve=True)
    assert isinstance(loaded, dict)
    return {str(name): value for name, value in loaded.items()}


def flat(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
    """Return options by their dotted names."""
    options: dict[str, Any] = {}
    for name, value in tree.items():
        options |= flat(value, f"{prefix}.{name}") if isinstance(value, dict) else {f"{prefix}.{name}": value}
    return options


def options_of(method: str) -> dict[str, Any]:
    """Return the options of a method and its backbone in the YAMLs."""
    own = load("method", f"{method}.yaml")
    (choice,) = [value for item in own.pop("defaults") for name, value in item.items() if "backbone" in name]
    return flat(own, "method") | flat(load("backbone", f"{choice}.yaml"), "backbone")


OPTIONS = {method: options_of(method) for method in SETTINGS}


def params_of(method: str, changed: dict[str, object]) -> dict[str, str]:
    """Return the parameters that a cell logs; changed options have their protocol's value, too."""
    params = {**OPTIONS[method], **changed}
    before = {f"protocol_value.{option}": OPTIONS[method].get(option, "none") for option in changed}
    return {option: str(value) for option, value in {**params, **before}.items()}


def sources(*rows: tuple[str, str, str, float], metric: str = "image_auroc", **columns: str) -> pd.DataFrame:
    """Make the table of published numbers of (source, variant, category, value)."""
    shared = {
        "method": "stfpm",
        "dataset": "mvtec_ad",
        "metric": metric,
        "freedom": "",
        "note": "",
        **columns,
    }
    return pd.DataFrame(
        [{**shared, "source": s, "variant": v, "category": c, "value": x} for s, v, c, x in rows]
    )


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Two sources that are comparable with ResNet-18's STFPM, one of another teacher, one of another image size."""
    table = sources(
        ("paper (X), Table 1", "resnet18", "bottle", 0.95),
        ("paper (X), Table 1", "resnet18", "cable", 0.80),
        ("paper (X), Table 1", "resnet18", "average", 0.875),
        ("code", "resnet18", "bottle", 0.93),
        ("other teacher", "wide_resnet50_2", "bottle", 0.99),
        ("thesis", "resnet18_224", "bottle", 0.10),
    )
    monkeypatch.setattr(published, "read_published", lambda: table)
    return table


def measured(method: str, *values: tuple[str, float], **columns: object) -> pd.DataFrame:
    """Make cells up; `changed` are options that differ from the method's."""
    params = params_of(method, columns.pop("changed", {}))  # type: ignore[arg-type]
    teacher = {"backbone": params["backbone.name"], "weights": params["backbone.weights"]}
    shared = {"metric": "image_auroc", "params": params, **teacher, **columns}
    return cells(*[(method, category, value) for category, value in values], **shared)


def only(sheets: list[Sheet]) -> Sheet:
    (sheet,) = sheets
    return sheet


def stfpm(*values: tuple[str, float], **columns: object) -> Sheet:
    return only(published_sheets(measured("stfpm", *values, **columns), "image_auroc"))


def real(method: str, metric: str = "image_auroc", **columns: object) -> Sheet:
    """Return the sheet of a method that measured 0.9 everywhere, with the real published numbers."""
    values = [(category, 0.9) for category in CATEGORIES]
    return only(published_sheets(measured(method, *values, metric=metric, **columns), metric))


def compared(sheet: Sheet) -> list[str]:
    """Return the sources that are compared."""
    number = dict(sheet.spans).get("comparable", 0)
    return [str(name) for name in sheet.values.columns[1 : 1 + number]]


@pytest.mark.usefixtures("printed")
def test_measured_published_difference_and_verdict_stand_side_by_side() -> None:
    sheet = stfpm(("bottle", 0.94), ("cable", 0.85))
    assert [*sheet.shown.columns] == ["measured", "[1]", "[2]", "[3]", "[4]", "difference", "verdict"]
    assert sheet.spans == (("", 1), ("comparable", 2), ("not comparable", 2), ("", 2))
    row = sheet.shown.loc["bottle"]
    assert (row["measured"], row["verdict"]) == ("0.940", "within")
    assert sorted(row[["[1]", "[2]"]]) == ["0.930", "0.950"]
    assert sorted(row[["[3]", "[4]"]]) == ["0.100", "0.990"]
    assert (sheet.section, sheet.method, sheet.name) == (
        "published",
        "stfpm",
        "published-mvtec_ad-image_auroc-stfpm",
    )


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize(
    ("value", "difference", "verdict"),
    [
        (0.97, "+0.020", "above"),
        (0.9504, "+0.000", "within"),  # as printed
        (0.945, "-0.005", "within"),  # to the closest
        (0.93, "+0.000", "within"),
        (0.90, "-0.030", "below"),
    ],
)
def test_the_verdict_is_by_the_range_of_comparable_numbers(
    value: float, difference: str, verdict: str
) -> None:
    row = stfpm(("bottle", value)).shown.loc["bottle"]
    assert (row["difference"], row["verdict"]) == (difference, verdict)


@pytest.mark.usefixtures("printed")
def test_one_source_gives_a_difference_and_no_verdict() -> None:
    row = stfpm(("cable", 0.85)).shown.loc["cable"]
    assert (row["difference"], row["verdict"]) == ("+0.050", "one source")


@pytest.mark.usefixtures("printed")
def test_the_caption_names_every_source_and_why_it_is_left_out() -> None:
    sources = stfpm(("bottle", 0.94)).caption.split("; ")
    (same,) = [text for text in sources if "paper (X), Table 1" in text]
    (teacher,) = [text for text in sources if "other teacher" in text]
    (size,) = [text for text in sources if "thesis" in text]
    assert "not comparable" not in same
    assert "not comparable: backbone=wide_resnet50_2.tv_in1k (here resnet18.tv_in1k)" in teacher
    assert "not comparable: training.image_size=224 (here 256)" in size


@pytest.mark.usefixtures("printed")
def test_a_cell_is_compared_with_the_variant_that_has_its_settings() -> None:
    small = stfpm(("bottle", 0.94), changed={"method.training.image_size": 224})
    assert compared(small) == ["thesis, resnet18_224"]
    assert "NOT the published" not in small.caption
    wide = stfpm(("bottle", 0.94), changed={"backbone.name": "wide_resnet50_2.tv_in1k"})
    assert compared(wide) == ["other teacher, wide_resnet50_2"]


@pytest.mark.usefixtures("printed")
def test_cells_that_disagree_among_each_other_are_not_compared() -> None:
    parts = [measured("stfpm", ("bottle", 0.94)), measured("stfpm", ("cable", 0.9))]
    parts[1]["params"] = parts[1]["params"].map(lambda own: {**own, "method.training.image_size": "128"})
    sheet = only(published_sheets(pd.concat(parts), "image_auroc"))
    assert compared(sheet) == []
    assert "training.image_size=256 (here 256 and 128)" in sheet.caption


@pytest.mark.usefixtures("printed")
def test_an_average_is_compared_where_all_categories_were_measured() -> None:
    whole = stfpm(("bottle", 0.94), ("cable", 0.85)).shown.loc["average"]
    assert (whole["measured"], whole["difference"]) == ("0.895", "+0.020")
    part = stfpm(("bottle", 0.94)).shown.loc["average"]
    assert list(part[["measured", "difference", "verdict"]]) == ["0.940 [1 of 2 categories]", "–", "–"]


@pytest.mark.usefixtures("printed")
def test_a_category_that_failed_says_so_and_is_not_compared() -> None:
    failed = cells(("stfpm", "cable", NAN), status="FAILED", metric="")
    table = pd.concat([measured("stfpm", ("bottle", 0.94)), failed])
    sheet = only(published_sheets(table, "image_auroc"))
    assert len(compared(sheet)) == 2
    shown = sheet.shown
    assert list(shown.loc["cable", ["measured", "difference", "verdict"]]) == ["failed", "–", "–"]
    assert shown.loc["average", "measured"] == "0.940 [1 of 2 categories]"


@pytest.mark.usefixtures("printed")
def test_seeds_stand_as_mean_and_deviation() -> None:
    params = params_of("stfpm", {})
    seeds = over_seeds({("stfpm", "bottle"): [0.92, 0.96]}, metric="image_auroc", params=params)
    sheet = only(published_sheets(seeds, "image_auroc"))
    assert sheet.shown.loc["bottle", "measured"] == "0.940 ± 0.028"
    assert "over 2 seeds (0, 1)" in sheet.caption


def test_without_published_numbers_there_is_no_sheet(printed: pd.DataFrame) -> None:
    assert published_sheets(measured("rd", ("bottle", 0.9)), "image_auroc") == []
    assert published_sheets(measured("stfpm", ("bottle", 0.9), dataset="folder"), "image_auroc") == []
    assert published_sheets(measured("stfpm", ("bottle", 0.9)), "pixel_auroc") == []


def test_a_paper_and_its_copies_are_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("paper (X), Table 1", 0.90), ("paper (X), as copied in a README", 0.92)]
    table = sources(*[(source, "resnet18", "bottle", value) for source, value in rows])
    monkeypatch.setattr(published, "read_published", lambda: table)
    assert stfpm(("bottle", 0.94)).shown.loc["bottle", "verdict"] == "one source"


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ({"protocol": "quick"}, "NOT the published ones: protocol quick"),
        ({"protocol": "paper_small"}, "NOT the published ones: protocol paper_small"),
        ({"changed": {"method.training.epochs": 5}}, "NOT the published ones: training.epochs=5"),
        ({"changed": {"method.half": True}, "variant": "half=true"}, "NOT the published ones: half=true"),
    ],
)
@pytest.mark.usefixtures("printed")
def test_the_caption_says_where_measured_settings_are_not_the_published(
    columns: dict[str, object], part: str
) -> None:
    assert part in stfpm(("bottle", 0.94), **columns).caption


@pytest.mark.usefixtures("printed")
@pytest.mark.parametrize("protocol", ["paper", "paper_3d"])
def test_published_settings_need_no_warning(protocol: str) -> None:
    assert "NOT the published" not in stfpm(("bottle", 0.94), protocol=protocol).caption


SMALL = {"method.training.image_size": 128, "backbone.weights": "random"}


@pytest.mark.parametrize("protocol", ["quick", "paper_small"])
def test_small_images_and_an_untrained_teacher_are_not_compared_whatever_the_protocol_is_called(
    protocol: str,
) -> None:
    params = {option: str(value) for option, value in {**OPTIONS["stfpm"], **SMALL}.items()}
    sheet = real("stfpm", protocol=protocol, params=params, weights="random")
    assert compared(sheet) == []
    assert set(sheet.shown["verdict"]) == {"–"}
    assert sheet.values["difference"].isna().all()
    assert "training.image_size=256 (here 128)" in sheet.caption
    assert "here backbone.weights=random" in sheet.caption
    assert f"NOT the published ones: protocol {protocol}" in sheet.caption
    # either alone is enough
    for option in SMALL:
        one = {**params_of("stfpm", {}), option: params[option]}
        assert compared(real("stfpm", params=one, weights=one["backbone.weights"])) == []
    assert compared(real("stfpm"))


def test_a_teacher_that_published_numbers_did_not_use_is_not_compared() -> None:
    lite = {"backbone.name": "tf_efficientnet_lite0.in1k", "backbone.weights": "package"}
    for method, wanted in (("rd", "wide_resnet50_2.tv_in1k"), ("stfpm", "resnet18.tv_in1k")):
        sheet = real(method, changed=lite)
        assert compared(sheet) == []
        assert set(sheet.shown["verdict"]) == {"–"}
        assert f"not comparable: backbone={wanted} (here tf_efficientnet_lite0.in1k)" in sheet.caption


def test_teachers_pretrained_on_the_tested_categories_are_not_compared() -> None:
    own = {"pretraining_images": "own", "pretraining_count": "240"}
    sheet = real("uninformed_students", "pixel_auroc", **own)
    assert compared(sheet) == []
    assert "240 train images" in sheet.caption
    natural = {**own, "pretraining_images": "imagenet"}
    assert compared(real("uninformed_students", "pixel_auroc", **natural)) != []


def test_a_mean_image_score_of_rd_is_not_the_published_one() -> None:
    sheet = real("rd", changed={"method.image_score": "mean"})
    assert compared(sheet) == []
    assert "image_score=max (here mean)" in sheet.caption


@pytest.mark.parametrize("method", SETTINGS)
def test_published_settings_are_those_of_the_configuration(method: str) -> None:
    assert SETTINGS[method] == {option: OPTIONS[method][option] for option in SETTINGS[method]}
    for protocol in literature.PROTOCOLS:
        assert list(load("protocol", f"{protocol}.yaml")) == ["name"]


def test_every_published_variant_is_known_and_every_known_one_is_published() -> None:
    assert set(VARIANTS) >= set(REAL[["method", "variant"]].itertuples(index=False, name=None))
    assert set(FLAWS) <= set(REAL[["source", "method", "variant"]].itertuples(index=False, name=None))
    for method, variant in VARIANTS:
        assert {option.partition(".")[0] for option in settings_of(method, variant)} <= {"method", "backbone"}
    assert settings_of("stfpm", "resnet18 with dropout")["variant"] == "resnet18 with dropout"


def test_runs_that_chose_their_epoch_on_test_images_are_shown_and_not_compared() -> None:
    sheet = real("rd")
    assert compared(sheet) == [
        "re-run of the official code (hq-deng/RD4AD at 6554076), wide_resnet50_2",
        "paper (reverse distillation), wide_resnet50_2",
    ]
    assert "[3] open-edge-platform/anomalib README" in sheet.caption
    assert "not comparable: epoch chosen on test images" in sheet.caption
    assert sheet.shown.loc["toothbrush", "[3]"] == "0.953"


def test_a_run_that_diverged_is_shown_and_not_compared() -> None:
    sheet = real("stfpm", changed={"backbone.name": "wide_resnet50_2.tv_in1k"})
    assert compared(sheet) == []
    assert "toothbrush diverged" in sheet.caption
    assert set(sheet.shown["verdict"]) == {"–"}


def test_ast_is_compared_by_mode_and_its_ablations_by_name() -> None:
    names = [str(name) for name in pd.unique(REAL.loc[REAL["dataset"] == "mvtec_3d", "category"])]
    values = [(name, 0.9) for name in names if name != "average"]
    columns: dict[str, Any] = {"dataset": "mvtec_3d", "protocol": "paper_3d", "mode": "rgbd"}

    def sheet_of(**changed: object) -> Sheet:
        options = {f"method.{name}": value for name, value in {"mode": "rgbd", **changed}.items()}
        return only(published_sheets(measured("ast", *values, **columns, changed=options), "image_auroc"))

    whole = sheet_of()
    assert compared(whole) == [
        "paper (AST), rgbd",
        "paper (AST), Table 5, rgbd",
        "paper (AST), Table 6, rgbd_4_blocks",
    ]
    assert whole.shown.loc["average", "verdict"] == "one source"
    assert whole.shown.loc["average", "difference"] == "-0.037"
    assert not any("depth" in str(name) for name in whole.values.columns)
    assert compared(sheet_of(score="nll")) == ["paper (AST), Table 5, ast_teacher_nll, rgbd"]
    assert compared(sheet_of(student_blocks=8)) == ["paper (AST), Table 6, rgbd_8_blocks"]


def test_scales_of_uninformed_students_are_compared_one_by_one() -> None:
    assert compared(real("uninformed_students", "pixel_auroc")) == ["DRAEM paper, Table 2, multi_scale"]
    small = {"method.patch_sizes": [17]}
    assert compared(real("uninformed_students", "pixel_auroc", changed=small)) == []


def test_an_exact_pro_is_compared_with_no_published_one() -> None:
    """The published ones are of other variants, or of variants not stated; each is named."""
    for method, name in (
        ("rd", "PRO (per image, 200 thresholds)"),
        ("stfpm", "PRO (rescaled)"),
        ("uninformed_students", "PRO (variant not stated)"),
    ):
        sheet = real(method, "pro")
        assert compared(sheet) == []
        assert set(sheet.shown["verdict"]) == {"–"}
        assert name in sheet.caption


def test_a_published_pro_is_compared_with_the_same_variant() -> None:
    sheet = real("rd", "pro_per_image_200")
    assert len(compared(sheet)) == 2
    assert sheet.shown.loc["average", "verdict"] == "below"
    assert "measured" in sheet.title
    assert "PRO variant per_image_200" in sheet.caption
    assert compared(real("rd", "pro_per_image_200", fpr_limit="0.1")) == []


def test_dice_is_compared_at_the_published_threshold_alone() -> None:
    small: dict[str, Any] = {"changed": {"method.training.image_size": 224}}
    assert compared(real("stfpm", "dice", **small)) == ["thesis (Polidori 2022), resnet18_224"]
    validated = real("stfpm", "dice", **small, threshold_policy="train_quantile")
    assert compared(validated) == []
    assert "not comparable: threshold f1_image" in validated.caption


def test_the_values_of_every_source_are_those_of_the_table() -> None:
    sheet = real("rd")
    for name in sheet.values.columns[1:4]:
        source = str(name).rpartition(", ")[0]
        listed = REAL[
            (REAL["source"] == source) & (REAL["metric"] == "image_auroc") & (REAL["method"] == "rd")
        ]
        expected = listed.set_index("category")["value"].reindex(sheet.values.index)
        pd.testing.assert_series_equal(sheet.values[name], expected, check_names=False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "not found"),
        (b"source,method,variant,note\n", "lacks the columns dataset, category, metric, value, freedom"),
        (b"", "cannot be read"),
        (b'source,"method\n', "cannot be read"),
        (b"\xff\xfe\x00,\x81\n", "cannot be read"),
        (
            b"source,method,variant,dataset,category,metric,value,freedom,note\na,b,c,d,e,f,.9x,,\n",
            r"line 2: value=\.9x",
        ),
    ],
)
def test_a_missing_or_damaged_table_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "published.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReportError, match=f"published.csv.*{reason}"):
        literature.read_published(path)


def test_the_table_is_not_among_what_runs_leave() -> None:
    assert literature.PUBLISHED.is_file()
    assert RESULTS not in literature.PUBLISHED.parents


@pytest.mark.usefixtures("printed")
def test_a_folder_that_is_only_called_like_a_published_dataset_is_not_compared() -> None:
    own = measured("stfpm", ("bottle", 0.94), dataset="mvtec_ad", dataset_choice="folder")
    assert published_sheets(own, "image_auroc") == []
    renamed = measured("stfpm", ("bottle", 0.94), dataset="a/mvtec_ad", dataset_choice="mvtec_ad")
    assert compared(only(published_sheets(renamed, "image_auroc"))) != []


@pytest.mark.usefixtures("printed")
def test_sources_that_print_no_number_for_what_was_measured_are_left_out() -> None:
    assert published_sheets(measured("stfpm", ("part", 0.94)), "image_auroc") == []
    cable = stfpm(("cable", 0.85))
    assert [*cable.shown.columns] == ["measured", "[1]", "difference", "verdict"]


def test_a_table_without_any_number_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    table = sources(("code", "resnet18", "bottle", 0.93))
    monkeypatch.setattr(published, "read_published", lambda: table)
    assert published_sheets(measured("stfpm", ("part", 0.94)), "image_auroc") == []
    failed = cells(("stfpm", "bottle", NAN), status="FAILED", metric="")
    other = measured("rd", ("bottle", 0.9))
    assert published_sheets(pd.concat([failed, other]), "image_auroc") == []


@pytest.mark.parametrize("metric", ["image_auroc", "pixel_auroc", "pro"])
def test_all_sheets_of_a_method_say_the_same_of_its_settings(metric: str) -> None:
    small = {"method.training.image_size": 224}
    assert "NOT the published" not in real("stfpm", metric, changed=small).caption
    wide = {"backbone.name": "resnet34.tv_in1k"}
    assert "NOT the published ones: backbone=resnet34.tv_in1k" in real("stfpm", metric, changed=wide).caption


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dataset.train_images": 8}, "here dataset.train_images=8"),
        ({"dataset.contamination": 0.1}, "here dataset.contamination=0.1"),
        ({"dataset.pool": "all 15 categories"}, "here one model for all 15 categories"),
    ],
)
def test_numbers_of_other_train_images_are_compared_with_none(
    options: dict[str, object], reason: str
) -> None:
    own = measured("stfpm", ("bottle", 0.9), changed=options)
    column = REAL[(REAL["method"] == "stfpm") & (REAL["metric"] == "image_auroc")].head(1)
    reasons = literature.other_settings(column, own, "image_auroc")
    assert any(reason in each for each in reasons)
