import pytest

from jaxrec.train.early_stopping import EarlyStopping
from jaxrec.train.metrics_log import MetricsLog, read_metrics


def write(log, step, split="train", **metrics):
    log.write(step=step, epoch=1, split=split, metrics=metrics, seconds=1.23456)


def test_lines_are_written_as_they_come_and_read_back(tmp_path):
    log = MetricsLog(tmp_path)
    write(log, 1, loss=0.5)
    assert read_metrics(log.path) == [
        {"step": 1, "epoch": 1, "split": "train", "metrics": {"loss": 0.5}, "seconds": 1.235}
    ]


def test_a_resumed_log_drops_what_came_after_the_checkpoint_and_half_a_line(tmp_path):
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        write(log, step, loss=1.0)
    with log.path.open("a") as file:
        file.write('{"step": 4, "epo')
    resumed = MetricsLog(tmp_path, resume_step=2)
    assert [line["step"] for line in read_metrics(resumed.path)] == [1, 2]
    write(resumed, 3, loss=2.0)
    assert [line["step"] for line in read_metrics(resumed.path)] == [1, 2, 3]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboardX")
    log = MetricsLog(tmp_path, tensorboard=True)
    write(log, 7, split="valid", recall=0.25)
    log.close()
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"valid/recall" in events.read_bytes()


def test_only_a_strict_gain_resets_patience():
    state = EarlyStopping(patience=2).update(0.5, 10)
    assert (state.best_step, state.should_stop) == (10, False)
    state = state.update(0.5, 20)
    assert (state.best_step, state.evaluations_since_best, state.should_stop) == (10, 1, False)
    assert state.update(0.4, 30).should_stop
    assert state.update(0.6, 30) == EarlyStopping(2, 0.6, 30, 0)


def test_patience_zero_never_stops():
    state = EarlyStopping(patience=0)
    for step in range(100):
        state = state.update(-step, step)
    assert not state.should_stop
