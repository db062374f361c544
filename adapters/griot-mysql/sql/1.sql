-- Version 1 of the journal. What each table and procedure promises stands in the README.
--
-- Each statement can be repeated: MySQL has no transactions around them, and whoever does it may die on the way.
-- Names and keys are bytes (UTF-8): the collations that MySQL and MariaDB share ignore spaces at the end.

create table if not exists griot_progress (
  one boolean primary key check (one),
  last_commit bigint unsigned not null,
  last_offset bigint unsigned not null
);
insert ignore into griot_progress values (true, 0, 0);

create table if not exists griot_flushes (
  one boolean primary key check (one),
  number bigint unsigned not null
);
insert ignore into griot_flushes values (true, 0);

create table if not exists griot_shards (
  kind varbinary(1024) not null,
  number int unsigned not null,
  epoch bigint unsigned not null,
  primary key (kind, number)
);

create table if not exists griot_entities (
  id bigint unsigned not null auto_increment primary key,
  name varbinary(1089) not null unique,
  kind varbinary(64) not null,
  seq bigint unsigned not null,
  deleted_to bigint unsigned not null default 0,
  index by_kind (kind, name)
);

create table if not exists griot_commits (
  number bigint unsigned primary key,
  entity bigint unsigned not null,
  expected bigint unsigned not null,
  seq bigint unsigned not null,
  journal_offset bigint unsigned not null,
  at bigint not null,
  metadata json not null,
  settled json not null,
  unique index of_entity (entity, seq, number)
) character set utf8mb4;

create table if not exists griot_events (
  journal_offset bigint unsigned primary key,
  entity bigint unsigned not null,
  seq bigint unsigned not null,
  commit bigint unsigned not null,
  name longtext not null,
  version int not null,
  tags json not null,
  payload longblob not null,
  unique index of_entity (entity, seq)
) character set utf8mb4;

create table if not exists griot_effects (
  commit bigint unsigned not null,
  position int unsigned not null,
  entity bigint unsigned not null,
  seq bigint unsigned not null,
  n int unsigned not null,
  at bigint not null,
  kind varchar(16) not null check (kind in ('call', 'timer', 'message', 'publication')),
  name longtext not null,
  due bigint,
  target longtext,
  `key` longtext,
  headers json,
  payload longblob not null,
  settled boolean not null default false,
  primary key (commit, position),
  index without_outcome (settled, entity, seq, n)
) character set utf8mb4;

create table if not exists griot_answers (
  commit bigint unsigned primary key,
  entity bigint unsigned not null,
  `key` longblob not null,
  key_hash bigint unsigned not null,
  fingerprint bigint unsigned not null,
  reply longblob not null,
  index of_entity (entity, key_hash)
);

create table if not exists griot_snapshots (
  entity varbinary(1089) not null,
  seq bigint unsigned not null,
  at bigint not null,
  fingerprint bigint unsigned not null,
  payload longblob not null,
  primary key (entity, seq)
);

drop procedure if exists griot_claim;
create procedure griot_claim(in shard_kind blob, in shard_number int unsigned)
modifies sql data sql security invoker
begin
  declare turn bigint unsigned;
  declare exit handler for sqlexception begin rollback; resignal; end;
  start transaction;
  -- Appends that were let in under the epoch before are committed before this goes on.
  select last_commit into turn from griot_progress for update;
  insert into griot_shards (kind, number, epoch) values (shard_kind, shard_number, 1)
  on duplicate key update epoch = epoch + 1;
  select epoch from griot_shards where kind = shard_kind and number = shard_number;
  commit;
end;

-- Appends batches in their order, each wholly or not at all: those before the first that is wrong, of which it tells why.
-- The parameters in JSON are rows of numbers. A text or a payload is two of them: where it begins in `bytes`, and its length.
-- Indexes are forced: how many rows the tables have is known too late, and how many the JSON has is not at all.
drop procedure if exists griot_append;
create procedure griot_append(
  in appends json, in events json, in effects json, in settleds json, in bytes longblob,
  in append_count int unsigned, in event_count int unsigned, in answer_count int unsigned
)
modifies sql data sql security invoker
begin
  declare last_commit_before, last_offset_before, actual_seq, actual_epoch, first_fingerprint bigint unsigned;
  declare bad_append, end_batch int unsigned default 4294967295;
  declare verdict varchar(16);
  declare first_reply longblob;
  declare exit handler for sqlexception begin rollback; resignal; end;
  start transaction;

  -- From here to the commit nobody else appends or claims; each statement below sees all that was committed before.
  select last_commit, last_offset into last_commit_before, last_offset_before from griot_progress for update;

  select a.number, a.batch, coalesce(s.epoch, 0), coalesce(e.seq, 0) + a.earlier, k.fingerprint, k.reply,
         case when a.epoch <> coalesce(s.epoch, 0) then 'fenced' when k.commit is null then 'conflict' else 'answered' end
    into bad_append, end_batch, actual_epoch, actual_seq, first_fingerprint, first_reply, verdict
    from json_table(appends, '$[*]' columns (
           number for ordinality, batch int unsigned path '$[0]',
           shard_at int unsigned path '$[1][0]', shard_bytes int unsigned path '$[1][1]',
           shard int unsigned path '$[2]', epoch bigint unsigned path '$[3]',
           name_at int unsigned path '$[4][0]', name_bytes int unsigned path '$[4][1]',
           expected bigint unsigned path '$[6]', earlier int unsigned path '$[7]',
           key_at int unsigned path '$[13][0][0]', key_bytes int unsigned path '$[13][0][1]',
           key_hash bigint unsigned path '$[13][1]')) a
    left join griot_shards s force index (primary) on s.kind = substring(bytes, a.shard_at, a.shard_bytes) and s.number = a.shard
    left join griot_entities e force index (name) on e.name = substring(bytes, a.name_at, a.name_bytes)
    left join griot_answers k force index (of_entity)
      on k.entity = e.id and k.key_hash = a.key_hash and k.`key` = substring(bytes, a.key_at, a.key_bytes)
   where a.epoch <> coalesce(s.epoch, 0) or k.commit is not null or a.expected <> coalesce(e.seq, 0) + a.earlier
   order by a.number
   limit 1;

  if verdict is not null then
    -- What it stands on may not be on the disk yet: so this commit has something to wait for.
    update griot_flushes set number = number + 1;
    select count(*), coalesce(sum(a.events), 0) into append_count, event_count
      from json_table(appends, '$[*]' columns (batch int unsigned path '$[0]', events int unsigned path '$[8]')) a
     where a.batch < end_batch;
  end if;

  if append_count > 0 then
    insert into griot_entities (name, kind, seq)
    select substring(bytes, g.name_at, g.name_bytes), substring(bytes, g.name_at, g.kind_bytes), g.events
      from (
        select a.name_at, a.name_bytes, a.kind_bytes, sum(a.events) as events
          from json_table(appends, '$[*]' columns (
                 batch int unsigned path '$[0]',
                 name_at int unsigned path '$[4][0]', name_bytes int unsigned path '$[4][1]',
                 kind_bytes int unsigned path '$[5]', events int unsigned path '$[8]')) a
         where a.batch < end_batch
         group by a.name_at, a.name_bytes, a.kind_bytes
      ) g
    on duplicate key update seq = seq + values(seq);

    insert into griot_commits (number, entity, expected, seq, journal_offset, at, metadata, settled)
    select last_commit_before + a.number, e.id, a.expected, a.expected + a.events,
           last_offset_before + a.before_it + least(a.events, 1), a.at,
           convert(substring(bytes, a.metadata_at, a.metadata_bytes) using utf8mb4),
           convert(substring(bytes, a.settled_at, a.settled_bytes) using utf8mb4)
      from json_table(appends, '$[*]' columns (
             number for ordinality, batch int unsigned path '$[0]',
             name_at int unsigned path '$[4][0]', name_bytes int unsigned path '$[4][1]',
             expected bigint unsigned path '$[6]', events int unsigned path '$[8]', before_it int unsigned path '$[9]',
             at bigint path '$[10]',
             metadata_at int unsigned path '$[11][0]', metadata_bytes int unsigned path '$[11][1]',
             settled_at int unsigned path '$[12][0]', settled_bytes int unsigned path '$[12][1]')) a
      straight_join griot_entities e force index (name) on e.name = substring(bytes, a.name_at, a.name_bytes)
     where a.batch < end_batch;
    if row_count() <> append_count then
      signal sqlstate '45000' set message_text = 'not every append found its entity';
    end if;
  end if;

  if append_count > 0 and answer_count > 0 then
    insert into griot_answers (commit, entity, `key`, key_hash, fingerprint, reply)
    select last_commit_before + a.number, c.entity, substring(bytes, a.key_at, a.key_bytes), a.key_hash,
           a.fingerprint, substring(bytes, a.reply_at, a.reply_bytes)
      from json_table(appends, '$[*]' columns (
             number for ordinality, batch int unsigned path '$[0]',
             key_at int unsigned path '$[13][0][0]', key_bytes int unsigned path '$[13][0][1]',
             key_hash bigint unsigned path '$[13][1]', fingerprint bigint unsigned path '$[13][2]',
             reply_at int unsigned path '$[13][3][0]', reply_bytes int unsigned path '$[13][3][1]')) a
      straight_join griot_commits c force index (primary) on c.number = last_commit_before + a.number
     where a.batch < end_batch and a.key_hash is not null;
  end if;

  if event_count > 0 then
    insert into griot_events (journal_offset, entity, seq, commit, name, version, tags, payload)
    select last_offset_before + v.number, c.entity, v.seq, c.number,
           convert(substring(bytes, v.name_at, v.name_bytes) using utf8mb4), v.version,
           convert(substring(bytes, v.tags_at, v.tags_bytes) using utf8mb4),
           substring(bytes, v.payload_at, v.payload_bytes)
      from json_table(events, '$[*]' columns (
             number for ordinality, append int unsigned path '$[0]', seq bigint unsigned path '$[1]',
             name_at int unsigned path '$[2][0]', name_bytes int unsigned path '$[2][1]', version int path '$[3]',
             tags_at int unsigned path '$[4][0]', tags_bytes int unsigned path '$[4][1]',
             payload_at int unsigned path '$[5][0]', payload_bytes int unsigned path '$[5][1]')) v
      straight_join griot_commits c force index (primary) on c.number = last_commit_before + v.append
     where v.append <= append_count;
    if row_count() <> event_count then
      signal sqlstate '45000' set message_text = 'not every event found its append';
    end if;
  end if;

  if append_count > 0 and json_length(effects) > 0 then
    insert into griot_effects (commit, position, entity, seq, n, at, kind, name, due, target, `key`, headers, payload)
    select c.number, f.position, c.entity, f.seq, f.n, c.at, f.kind,
           convert(substring(bytes, f.name_at, f.name_bytes) using utf8mb4), f.due,
           convert(substring(bytes, f.target_at, f.target_bytes) using utf8mb4),
           convert(substring(bytes, f.key_at, f.key_bytes) using utf8mb4),
           convert(substring(bytes, f.headers_at, f.headers_bytes) using utf8mb4),
           substring(bytes, f.payload_at, f.payload_bytes)
      from json_table(effects, '$[*]' columns (
             append int unsigned path '$[0]', position int unsigned path '$[1]', seq bigint unsigned path '$[2]',
             n int unsigned path '$[3]', kind varchar(16) path '$[4]',
             name_at int unsigned path '$[5][0]', name_bytes int unsigned path '$[5][1]', due bigint path '$[6]',
             target_at int unsigned path '$[7][0]', target_bytes int unsigned path '$[7][1]',
             key_at int unsigned path '$[8][0]', key_bytes int unsigned path '$[8][1]',
             headers_at int unsigned path '$[9][0]', headers_bytes int unsigned path '$[9][1]',
             payload_at int unsigned path '$[10][0]', payload_bytes int unsigned path '$[10][1]')) f
      straight_join griot_commits c force index (primary) on c.number = last_commit_before + f.append
     where f.append <= append_count;
  end if;

  if append_count > 0 and json_length(settleds) > 0 then
    update json_table(settleds, '$[*]' columns (
             append int unsigned path '$[0]', seq bigint unsigned path '$[1]', n int unsigned path '$[2]')) s
      straight_join griot_commits c force index (primary) on c.number = last_commit_before + s.append
      straight_join griot_effects f force index (without_outcome) on f.settled = false and f.entity = c.entity and f.seq = s.seq and f.n = s.n
       set f.settled = true
     where s.append <= append_count;
  end if;

  update griot_progress
     set last_commit = last_commit_before + append_count, last_offset = last_offset_before + event_count;

  -- Before the commit: what is told without this was rolled back.
  select last_offset_before, verdict, cast(bad_append as unsigned) as bad_append, cast(end_batch as unsigned) as end_batch,
         actual_epoch, actual_seq, first_fingerprint, first_reply;
  commit;
end;

-- The commits of an entity, their events and their effects, all of one moment.
drop procedure if exists griot_commits_of;
create procedure griot_commits_of(
  in entity_name blob, in from_seq bigint unsigned, in skipped bigint unsigned, in row_count_max bigint unsigned
)
reads sql data sql security invoker
begin
  declare exit handler for sqlexception begin rollback; resignal; end;
  set transaction isolation level repeatable read;
  start transaction with consistent snapshot, read only;
  select 'commit' as part, c.number as commit, e.name as entity, c.expected, c.seq, c.journal_offset, c.at, c.metadata,
         c.settled, e.deleted_to, a.`key`, a.fingerprint, a.reply
    from (
      select c.* from griot_commits c
       where c.entity = (select id from griot_entities where name = entity_name) and c.seq >= from_seq
       order by c.seq, c.number limit skipped, row_count_max
    ) c
    join griot_entities e on e.id = c.entity
    left join griot_answers a on a.commit = c.number
   order by c.seq, c.number;
  select 'event' as part, v.commit, v.name, v.version, v.tags, v.payload
    from (
      select c.number, c.entity, c.expected, c.seq from griot_commits c
       where c.entity = (select id from griot_entities where name = entity_name) and c.seq >= from_seq
       order by c.seq, c.number limit skipped, row_count_max
    ) c
    join griot_events v on v.entity = c.entity and v.seq > c.expected and v.seq <= c.seq
   order by v.seq;
  select 'effect' as part, f.commit, f.seq, f.n, f.kind, f.name, f.due, f.target, f.`key`, f.headers, f.payload
    from (
      select c.number from griot_commits c
       where c.entity = (select id from griot_entities where name = entity_name) and c.seq >= from_seq
       order by c.seq, c.number limit skipped, row_count_max
    ) c
    join griot_effects f on f.commit = c.number
   order by f.commit, f.position;
  commit;
end;

-- The commits of all entities after those that were passed, their events and their effects, all of one moment. Commits
-- are numbered in their order; no one that stands at the offset is before the one that the last event up to there is of.
drop procedure if exists griot_commits_after;
create procedure griot_commits_after(
  in passed_offset bigint unsigned, in passed bigint unsigned, in row_count_max bigint unsigned
)
reads sql data sql security invoker
begin
  declare first_number, last_number bigint unsigned;
  declare exit handler for sqlexception begin rollback; resignal; end;
  set transaction isolation level repeatable read;
  start transaction with consistent snapshot, read only;
  select coalesce(max(commit), 0) into first_number
    from (select commit from griot_events where journal_offset <= passed_offset order by journal_offset desc limit 1) v;
  select least(passed, count(*)) into passed
    from griot_commits where number >= first_number and journal_offset = passed_offset;
  select min(number), max(number) into first_number, last_number
    from (
      select number from griot_commits
       where number >= first_number and journal_offset >= passed_offset
       order by number limit passed, row_count_max
    ) c;
  select 'commit' as part, c.number as commit, e.name as entity, c.expected, c.seq, c.journal_offset, c.at, c.metadata,
         c.settled, e.deleted_to, a.`key`, a.fingerprint, a.reply
    from griot_commits c
    join griot_entities e on e.id = c.entity
    left join griot_answers a on a.commit = c.number
   where c.number between first_number and last_number
   order by c.number;
  select 'event' as part, v.commit, v.name, v.version, v.tags, v.payload
    from griot_commits c
    join griot_events v on v.entity = c.entity and v.seq > c.expected and v.seq <= c.seq
   where c.number between first_number and last_number
   order by v.journal_offset;
  select 'effect' as part, f.commit, f.seq, f.n, f.kind, f.name, f.due, f.target, f.`key`, f.headers, f.payload
    from griot_commits c
    join griot_effects f on f.commit = c.number
   where c.number between first_number and last_number
   order by f.commit, f.position;
  commit;
end;

-- Deletes an entity's events up to `until_seq`. Its last commit stays, without them, and so do its keys and the effects
-- that have no outcome.
drop procedure if exists griot_delete_events;
create procedure griot_delete_events(in entity_name blob, in until_seq bigint unsigned)
modifies sql data sql security invoker
begin
  declare whose, gone, gone_before, last_number bigint unsigned;
  declare exit handler for sqlexception begin rollback; resignal; end;
  start transaction;
  select id, least(until_seq, seq), deleted_to into whose, gone, gone_before
    from griot_entities where name = entity_name for update;
  if gone > gone_before then
    update griot_entities set deleted_to = gone where id = whose;
    delete from griot_events where entity = whose and seq <= gone;
    select number into last_number from griot_commits where entity = whose order by seq desc, number desc limit 1;
    delete f from griot_commits c join griot_effects f on f.commit = c.number
     where c.entity = whose and c.seq <= gone and c.number < last_number and f.settled;
    delete from griot_commits where entity = whose and seq <= gone and number < last_number;
  end if;
  commit;
end;

-- For people: times as times, names as text, payloads as text where they are text.

create or replace sql security invoker view griot_history as
select v.journal_offset, convert(e.name using utf8mb4) as entity, v.seq,
       timestamp('1970-01-01') + interval c.at microsecond as at, v.name as event, v.version, v.tags,
       if(cast(convert(v.payload using utf8mb4) as binary) = v.payload, convert(v.payload using utf8mb4), hex(v.payload)) as payload,
       c.metadata
  from griot_events v join griot_entities e on e.id = v.entity join griot_commits c on c.number = v.commit;

create or replace sql security invoker view griot_waiting_effects as
select convert(e.name using utf8mb4) as entity, f.seq, f.n, timestamp('1970-01-01') + interval f.at microsecond as at, f.kind, f.name,
       timestamp('1970-01-01') + interval f.due microsecond as due, f.target, f.`key`, f.headers,
       if(cast(convert(f.payload using utf8mb4) as binary) = f.payload, convert(f.payload using utf8mb4), hex(f.payload)) as payload
  from griot_effects f join griot_entities e on e.id = f.entity
 where not f.settled;
