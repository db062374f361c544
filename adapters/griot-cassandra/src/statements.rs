//! What is said to the cluster, prepared once.

use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;

use crate::options::Agreement;

/// Rows of 256 KiB at most.
const STEPS: i32 = 32;
/// Rows of 64 KiB at most.
const ROWS: i32 = 128;
/// Of which mostly the first is enough.
const LAST_ROWS: i32 = 16;
/// Rows of 1 MiB.
const PARTS: i32 = 4;

/// One statement for each thing that is asked. Every one begins with the journal's name.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) step_put: PreparedStatement,
    pub(crate) step_of: PreparedStatement,
    pub(crate) step_rewrite: PreparedStatement,
    pub(crate) step_end: PreparedStatement,
    pub(crate) steps: PreparedStatement,
    pub(crate) progress: PreparedStatement,
    pub(crate) progress_put: PreparedStatement,
    pub(crate) shards: PreparedStatement,
    pub(crate) shard: PreparedStatement,
    pub(crate) shard_put: PreparedStatement,
    pub(crate) last_seq: PreparedStatement,
    pub(crate) last_commits: PreparedStatement,
    pub(crate) commits: PreparedStatement,
    pub(crate) commit_body: PreparedStatement,
    pub(crate) commit_put: PreparedStatement,
    pub(crate) commit_rewrite: PreparedStatement,
    pub(crate) commits_delete: PreparedStatement,
    pub(crate) answer: PreparedStatement,
    pub(crate) answer_put: PreparedStatement,
    pub(crate) effects: PreparedStatement,
    pub(crate) effect_put: PreparedStatement,
    pub(crate) effect_delete: PreparedStatement,
    pub(crate) names: PreparedStatement,
    pub(crate) name_put: PreparedStatement,
    pub(crate) deletions: PreparedStatement,
    pub(crate) deletion_put: PreparedStatement,
    pub(crate) parts: PreparedStatement,
    pub(crate) part_put: PreparedStatement,
    pub(crate) parts_delete: PreparedStatement,
    pub(crate) snapshots: PreparedStatement,
    pub(crate) snapshot_put: PreparedStatement,
    pub(crate) snapshot_delete: PreparedStatement,
}

impl Statements {
    #[expect(clippy::too_many_lines, reason = "it is a list")]
    pub(crate) async fn prepare(
        session: &Session,
        keyspace: &str,
        agreement: Agreement,
    ) -> Result<Self, PrepareError> {
        let serial = match agreement {
            Agreement::Quorum => Consistency::Serial,
            Agreement::LocalQuorum => Consistency::LocalSerial,
        };
        let keyspace = format!("\"{keyspace}\".griot_");
        let prepare = async |cql: &str| session.prepare(cql.replace('@', &keyspace)).await;
        let paged = async |cql: &str, rows| {
            let mut statement = prepare(cql).await?;
            statement.set_page_size(rows);
            Ok::<_, PrepareError>(statement)
        };
        let serially = async |cql: &str| {
            let mut statement = prepare(cql).await?;
            statement.set_consistency(serial);
            Ok::<_, PrepareError>(statement)
        };
        Ok(Self {
            step_put: prepare(
                "insert into @log (journal, chunk, number, id, last_offset, revision, body)
                 values (?, ?, ?, ?, ?, 0, ?) if not exists",
            )
            .await?,
            step_of: serially(
                "select id, last_offset, revision, body from @log where journal = ? and chunk = ? and number = ?",
            )
            .await?,
            step_rewrite: prepare(
                "update @log set revision = ?, body = ? where journal = ? and chunk = ? and number = ? if revision = ?",
            )
            .await?,
            step_end: prepare(
                "select last_offset from @log where journal = ? and chunk = ? and number = ?",
            )
            .await?,
            steps: paged(
                "select number, last_offset, body from @log
                  where journal = ? and chunk = ? and number >= ? and number <= ?",
                STEPS,
            )
            .await?,
            progress: prepare("select number, last_offset from @progress where journal = ?")
                .await?,
            progress_put: prepare(
                "insert into @progress (journal, number, last_offset) values (?, ?, ?) using timestamp ?",
            )
            .await?,
            shards: paged(
                "select kind, number, epoch from @shards where journal = ?",
                ROWS,
            )
            .await?,
            shard: prepare(
                "select epoch from @shards where journal = ? and kind = ? and number = ?",
            )
            .await?,
            shard_put: prepare(
                "insert into @shards (journal, kind, number, epoch) values (?, ?, ?, ?) using timestamp ?",
            )
            .await?,
            last_seq: prepare(
                "select last_seq from @commits where journal = ? and entity = ? limit 1",
            )
            .await?,
            last_commits: paged(
                "select seq, number, place from @commits where journal = ? and entity = ?
                  order by seq desc, number desc, place desc",
                LAST_ROWS,
            )
            .await?,
            commits: paged(
                "select seq, number, place, first_offset, body from @commits
                  where journal = ? and entity = ? and seq >= ?",
                ROWS,
            )
            .await?,
            commit_body: prepare(
                "select body from @commits
                  where journal = ? and entity = ? and seq = ? and number = ? and place = ?",
            )
            .await?,
            commit_put: prepare(
                "insert into @commits (journal, entity, last_seq, seq, number, place, first_offset, at, events, body)
                 values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) using timestamp ?",
            )
            .await?,
            commit_rewrite: prepare(
                "update @commits using timestamp ? set body = ?, events = ?
                  where journal = ? and entity = ? and seq = ? and number = ? and place = ?",
            )
            .await?,
            commits_delete: prepare(
                "delete from @commits using timestamp ?
                  where journal = ? and entity = ? and (seq, number, place) < (?, ?, ?)",
            )
            .await?,
            answer: prepare(
                "select key, fingerprint, body from @answers where journal = ? and entity = ? and key_id = ?",
            )
            .await?,
            answer_put: prepare(
                "insert into @answers (journal, entity, key_id, key, fingerprint, body) values (?, ?, ?, ?, ?, ?)
                  using timestamp ?",
            )
            .await?,
            effects: paged(
                "select entity, at, body from @effects
                  where journal = ? and kind = ? and bucket = ? and (entity, seq, n) > (?, ?, ?) limit ?",
                ROWS,
            )
            .await?,
            effect_put: prepare(
                "insert into @effects (journal, kind, bucket, entity, seq, n, at, body) values (?, ?, ?, ?, ?, ?, ?, ?)
                  using timestamp ?",
            )
            .await?,
            effect_delete: prepare(
                "delete from @effects using timestamp ?
                  where journal = ? and kind = ? and bucket = ? and entity = ? and seq = ? and n = ?",
            )
            .await?,
            names: prepare(
                "select entity from @names
                  where journal = ? and bucket = ? and entity > ? and entity < ? limit ?",
            )
            .await?,
            name_put: prepare(
                "insert into @names (journal, bucket, entity) values (?, ?, ?) using timestamp ?",
            )
            .await?,
            deletions: prepare(
                "select entity, deleted_to from @deletions where journal = ? and bucket = ? and entity > ? limit ?",
            )
            .await?,
            deletion_put: prepare(
                "insert into @deletions (journal, bucket, entity, deleted_to) values (?, ?, ?, ?) using timestamp ?",
            )
            .await?,
            parts: paged(
                "select bytes from @parts where journal = ? and id = ?",
                PARTS,
            )
            .await?,
            part_put: prepare(
                "insert into @parts (journal, id, part, bytes) values (?, ?, ?, ?)",
            )
            .await?,
            parts_delete: prepare("delete from @parts where journal = ? and id = ?").await?,
            snapshots: paged(
                "select seq, at, fingerprint, body from @snapshots
                  where journal = ? and entity = ? and seq <= ?",
                ROWS,
            )
            .await?,
            snapshot_put: prepare(
                "insert into @snapshots (journal, entity, seq, at, fingerprint, body) values (?, ?, ?, ?, ?, ?)",
            )
            .await?,
            snapshot_delete: prepare(
                "delete from @snapshots where journal = ? and entity = ? and seq = ?",
            )
            .await?,
        })
    }
}
