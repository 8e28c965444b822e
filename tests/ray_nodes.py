"""Two Ray nodes of one core each on the loopback, as processes: `python tests/ray_nodes.py FOLDER [NAME=VALUE ...]`.

Prints a line of JSON, the address and the process of each node (the second one has the variables that are given), and
ends with all of them when standard input does. Node k keeps its clones below FOLDER/k.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

from ray.cluster_utils import Cluster


def main() -> None:
    folder, *variables = sys.argv[1:]
    common = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    temporary = [{"TMPDIR": f"{folder}/{place}"} for place in (1, 2)]
    for variable in temporary:
        (Path(variable["TMPDIR"]) / "ray").mkdir(parents=True)  # where Ray notes its last address
    cluster = Cluster()
    os.environ |= temporary[0]
    nodes = [cluster.add_node(temp_dir=f"{folder}/ray", **common)]
    os.environ |= temporary[1] | dict(variable.split("=", 1) for variable in variables)
    nodes.append(cluster.add_node(**common))
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
