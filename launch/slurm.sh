#!/bin/bash
# One run on SLURM. Preempted or out of time it saves its state and goes back to the queue.
#SBATCH --job-name={{name}}
#SBATCH --nodes={{nodes}}
#SBATCH --ntasks-per-node={{tasks_per_node}}
#SBATCH --cpus-per-task={{cpus_per_task}}
{{gpu_line}}
#SBATCH --time={{time}}
{{partition_line}}
{{account_line}}
#SBATCH --output={{workdir}}/slurm-%j.log
#SBATCH --open-mode=append
#SBATCH --requeue
# Before the time limit every process gets the signal that preemption sends, too.
#SBATCH --signal=TERM@{{grace_s}}
set -eu
trap : TERM  # preemption may signal this shell as well; it has to wait for the processes
cd {{code}}
{{setup}}

# srun does not take the number of cores from the lines above. A process that ends before the others
# must not end them: they may be saving. JAX ends those that wait for one that has died.
status=0
srun --cpus-per-task={{cpus_per_task}} --kill-on-bad-exit=0 \
  {{command}} || status=$?
if [ "$status" -eq 75 ]; then  # saved after the signal, not finished
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
