#!/bin/bash
# A SLURM cluster of this machine alone, to test a sweep or a launch. As root, with
# Debian's packages: apt-get install slurm-wlm munge
#
#   bash experiments/launch/slurm_single_node.sh start FOLDER
#   export SLURM_CONF=FOLDER/slurm.conf
#   bash experiments/launch/slurm_single_node.sh stop FOLDER
#
# No cgroups and no accounting: it runs in a container as well.
set -euo pipefail
folder=$(mkdir -p "$2" && realpath "$2")
export SLURM_CONF=$folder/slurm.conf

stop() {
  for daemon in slurmd slurmctld; do
    if [ -f "$folder/$daemon.pid" ]; then
      kill "$(cat "$folder/$daemon.pid")" || true
    fi
  done
}

start() {
  mkdir -p "$folder"/{state,spool} /run/munge
  if ! munge -n > /dev/null 2>&1; then
    chown munge: /run/munge /var/lib/munge /var/log/munge /etc/munge/munge.key
    runuser -u munge -- munged
  fi
  cat > "$SLURM_CONF" << END
ClusterName=single
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=${SLURM_PORT:-6817}
SlurmdPort=$((${SLURM_PORT:-6817} + 1))
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
NodeName=$(hostname) NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  slurmctld
  slurmd
  for _ in $(seq 30); do
    sinfo --noheader --format=%T | grep -q idle && return
    sleep 1
  done
  tail "$folder"/*.log >&2
  exit 1
}

"$1"
