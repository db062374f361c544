//! Cassandra passes the suites that every journal and every store of snapshots passes.

#[path = "rig/cluster.rs"]
#[macro_use]
mod rig;

griot_testkit::journal_read_suite!(place!());
griot_testkit::journal_append_suite!(place!());
griot_testkit::journal_tail_suite!(place!());
griot_testkit::journal_reopen_suite!(place!());
griot_testkit::journal_archive_suite!(place!());
griot_testkit::journal_copy_suite!(place!());
griot_testkit::snapshot_suite!(place!());
