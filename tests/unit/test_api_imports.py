import subprocess
import sys


def test_the_api_imports_no_torch():
    # A suite that needs no network must not wait for torch.
    code = "import sys, mlipbench.api; sys.exit('torch' in sys.modules or 'e3nn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
