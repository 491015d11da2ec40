# The chaos run: clients that write and read through all doors while servers suffer, and a judge.
#
# CHAOS_DIR: where the clients leave their ledgers; CHAOS_MINUTES: how long, at least once through all
# events; CHAOS_SEED repeats a run; CHAOS_DISKS: two small file systems (test/suites/chaos.sh).
use strict;
use warnings;
use Chaos::Run;

Chaos::Run::main(
	minutes => $ENV{CHAOS_MINUTES} || 5,
	seed => $ENV{CHAOS_SEED} || 1 + int rand 1_000_000,
	dir => $ENV{CHAOS_DIR} // die('CHAOS_DIR names no directory'),
	disks => $ENV{CHAOS_DISKS});
