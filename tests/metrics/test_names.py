"""The table of measures covers every variant and says what is an oracle."""

import pytest

from metrics import MEASURES, PRO_VARIANTS, THRESHOLD_POLICIES, MetricError, is_oracle


def test_every_variant_of_pro_has_its_own_name_and_label() -> None:
    names = ["pro" if variant == "exact" else f"pro_{variant}" for variant in PRO_VARIANTS]
    assert set(names) <= set(MEASURES)
    assert len({measure.label for measure in MEASURES.values()}) == len(MEASURES)


def test_only_a_threshold_from_train_images_is_honest() -> None:
    assert [policy for policy in THRESHOLD_POLICIES if not is_oracle(policy)] == ["train_quantile"]


@pytest.mark.parametrize("policy", THRESHOLD_POLICIES)
def test_measures_at_the_threshold_are_oracles_where_the_policy_is(policy: str) -> None:
    oracles = {name for name, measure in MEASURES.items() if measure.is_oracle(policy)}
    at_threshold = {"dice", "dice_image", "image_f1"}
    assert oracles == {"dice_max"} | (at_threshold if is_oracle(policy) else set())


def test_an_unknown_policy_is_answered_with_the_near_ones() -> None:
    with pytest.raises(
        MetricError, match=r"found 'f1_images'; did you mean 'f1_image'\? Known: f1_image, dice_"
    ):
        is_oracle("f1_images")
