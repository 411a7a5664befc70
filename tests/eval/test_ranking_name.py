from jaxrec.eval.ranking_name import ranking_name


def test_several_targets_a_user_are_a_ranking_of_their_own_name():
    assert ranking_name("full", {"single_target": True}) == "full"
    assert ranking_name("full", {"single_target": False}) == "multi_target_full"
    assert ranking_name("sampled99", {"single_target": False}) == "sampled99"
    assert ranking_name("full", {}) == ranking_name("full", None) == "full"
