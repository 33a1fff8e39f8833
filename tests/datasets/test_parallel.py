"""Work in several processes comes back in order, and Ctrl-C begins no more of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import sys, time
from pathlib import Path
from prostate_alm.datasets.parallel import in_processes

def work(task):
    number, seconds = task
    Path(sys.argv[1], str(number)).touch()
    time.sleep(seconds)
    return number

if __name__ == "__main__":
    seconds = [float(word) for word in sys.argv[2].split()]
    print(in_processes(work, list(enumerate(seconds)), workers=2, title=""))
"""


def start(folder: Path, seconds: str) -> "subprocess.Popen[str]":
    """Tasks that note their number in `folder / begun` and last so many seconds."""
    (folder / "begun").mkdir()
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(folder / "program.py"), str(folder / "begun"), seconds]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def test_results_come_in_the_order_of_the_tasks(tmp_path: Path) -> None:
    printed, errors = start(tmp_path, "0.4 0 0 0.2 0").communicate()
    assert "[0, 1, 2, 3, 4]" in printed, errors


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_lets_the_tasks_at_work_end_and_begins_no_other(tmp_path: Path) -> None:
    process = start(tmp_path, "2 2 2 2 2 2")
    begun = tmp_path / "begun"
    while process.poll() is None and len(list(begun.iterdir())) < 2:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    assert len(list(begun.iterdir())) == 2
