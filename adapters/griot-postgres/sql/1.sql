-- Version 1 of the journal. What each table and function promises stands in the README.

-- Whoever appends or claims has the turn until its transaction has ended. The lock is an advisory one, named by
-- "grio" in ASCII and the schema: a row that each append updates would be as slow as the oldest transaction is long.
-- In PL/pgSQL, which keeps its plans: a function in SQL is planned anew in each append.
create function wait_for_turn() returns void
language plpgsql
as $$
begin
  perform pg_advisory_xact_lock(1735551343, current_schema()::text::regnamespace::oid::integer);
end;
$$;

create table shards (
  kind text collate "C" not null,
  number bigint not null,
  epoch bigint not null,
  primary key (kind, number)
);

create table entities (
  id bigint generated always as identity primary key,
  name text collate "C" not null unique,
  kind text collate "C" not null generated always as (split_part(name, '/', 1)) stored,
  deleted_to bigint not null default 0
);
create index entities_by_kind on entities (kind, name);

-- An append is a row for each of its events, and one without an event where it has none, or none any more: then `seq` is
-- the entity's last, and `journal_offset` the journal's. Appends are numbered as they come.
create table events (
  journal_offset bigint not null,
  commit bigint not null,
  entity bigint not null,
  seq bigint not null,
  -- The entity's last sequence before the append.
  expected bigint not null,
  -- Whether it is the last row of its append.
  closes boolean not null,
  at bigint not null,
  name text,
  version integer,
  tags jsonb,
  payload bytea,
  metadata jsonb,
  settled jsonb,
  primary key (journal_offset, commit)
);
create unique index events_of_entity on events (entity, seq, commit);

-- Each append, by its last row, with the offsets of its first and last event.
create view commits as
select c.commit as number, c.entity, c.expected, c.seq, c.journal_offset - greatest(c.seq - c.expected - 1, 0) as journal_offset,
       c.journal_offset as last_offset, c.at, c.metadata, c.settled
  from events c where c.closes;

-- How far the journal is, in one row. The last append of all is the last of its entity, whose row no deletion takes away.
create view progress as
select coalesce(c.commit, 0) as last_commit, coalesce(c.journal_offset, 0) as last_offset
  from (values (true)) as one
  left join (select * from events order by journal_offset desc, commit desc limit 1) c on true;

create table effects (
  commit bigint not null,
  position integer not null,
  entity bigint not null,
  seq bigint not null,
  n bigint not null,
  at bigint not null,
  kind text not null check (kind in ('call', 'timer', 'message', 'publication')),
  name text not null,
  due bigint,
  target text,
  key text,
  headers jsonb,
  payload bytea not null,
  settled boolean not null default false,
  primary key (commit, position)
);
create index effects_without_outcome on effects (entity, seq, n) where not settled;

create table answers (
  commit bigint primary key,
  entity bigint not null,
  key text not null,
  key_hash bigint not null,
  fingerprint bigint not null,
  reply bytea not null
);
create index answers_of_entity on answers (entity, key_hash);

create table snapshots (
  entity text collate "C" not null,
  seq bigint not null,
  at bigint not null,
  fingerprint bigint not null,
  payload bytea not null,
  primary key (entity, seq)
);

-- Where appends say, once they are committed, what the last offset is.
create function channel() returns text
language plpgsql stable
set search_path from current
as $$
begin
  return 'griot_' || current_schema()::regnamespace::oid;
end;
$$;

create function claim(shard_kind text, shard_number bigint) returns bigint
language sql
set search_path from current
begin atomic
  -- Appends that were let in under the epoch before are committed before this goes on.
  select wait_for_turn();
  insert into shards (kind, number, epoch) values (shard_kind, shard_number, 1)
  on conflict (kind, number) do update set epoch = shards.epoch + 1
  returning epoch;
end;

-- Appends batches in their order, each wholly or not at all: those before the first that is wrong, of which it tells
-- why. Appends are numbered from 1, through all batches. `befores` has how many events of its entity are before an append in
-- the group. Rows, answers, effects and settled ones say which append they are of, and rows, how many events there are up to
-- them, in `row_places`.
create function append(
  shard_kinds text[], shard_numbers bigint[], epochs bigint[],
  batches integer[], names text[], expecteds bigint[], befores bigint[], ats bigint[],
  row_appends integer[], row_places bigint[], row_seqs bigint[], row_closes boolean[],
  event_names text[], event_versions integer[], event_tags jsonb[], event_payloads bytea[],
  metadatas jsonb[], settleds jsonb[],
  answer_appends integer[], keys text[], key_hashes bigint[], fingerprints bigint[], replies bytea[],
  effect_appends integer[], effect_positions integer[], effect_seqs bigint[], effect_ns bigint[],
  effect_kinds text[], effect_names text[], effect_dues bigint[], effect_targets text[], effect_keys text[],
  effect_headers jsonb[], effect_payloads bytea[],
  settled_appends integer[], settled_seqs bigint[], settled_ns bigint[],
  out last_offset_before bigint, out verdict text, out bad_batch integer, out bad_append integer, out actual bigint,
  out first_fingerprint bigint, out first_reply bytea
)
language plpgsql
set search_path from current
as $$
#variable_conflict use_column
declare
  last_commit_before bigint;
  appends_kept bigint := cardinality(batches);
  rows_kept bigint := cardinality(row_appends);
  entity_of bigint[];
  answered integer;
  written bigint;
begin
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;

  -- From here to the commit nobody else appends or claims; each statement below sees all that was committed before.
  perform wait_for_turn();
  select p.last_commit, p.last_offset into strict last_commit_before, last_offset_before from progress p;

  select 'fenced', b.number, coalesce(s.epoch, 0) into verdict, bad_batch, actual
    from unnest(shard_kinds, shard_numbers, epochs) with ordinality as b (shard_kind, shard_number, epoch, number)
    left join shards s on s.kind = b.shard_kind and s.number = b.shard_number
   where b.epoch <> coalesce(s.epoch, 0)
   order by b.number
   limit 1;
  if bad_batch is not null then
    appends_kept := array_position(batches, bad_batch) - 1;
  end if;

  select array_agg(e.id order by a.number), min(a.number) filter (where a.expected <> coalesce(l.seq, 0) + a.before)
    into entity_of, bad_append
    from unnest(names, expecteds, befores) with ordinality as a (name, expected, before, number)
    left join entities e on e.name = a.name
    left join lateral (select v.seq from events v where v.entity = e.id order by v.seq desc limit 1) l on true
   where a.number <= appends_kept;
  if cardinality(answer_appends) > 0 then
    select a.append, k.fingerprint, k.reply into answered, first_fingerprint, first_reply
      from unnest(answer_appends, keys, key_hashes) as a (append, key, key_hash)
      join answers k on k.entity = entity_of[a.append] and k.key_hash = a.key_hash and k.key = a.key
     where a.append <= coalesce(bad_append, appends_kept)
     order by a.append, k.commit
     limit 1;
  end if;
  if answered is not null then
    verdict := 'answered';
    bad_append := answered;
  elsif bad_append is not null then
    verdict := 'conflict';
    actual := befores[bad_append] + coalesce((select max(v.seq) from events v where v.entity = entity_of[bad_append]), 0);
  end if;
  if bad_append is not null then
    bad_batch := batches[bad_append];
    appends_kept := array_position(batches, bad_batch) - 1;
  end if;
  if verdict is not null then
    rows_kept := array_position(row_appends, appends_kept::integer + 1) - 1;
  end if;

  if array_position(entity_of, null) is not null then
    insert into entities (name)
    select distinct a.name from unnest(names, entity_of) with ordinality as a (name, entity, number)
     where a.entity is null and a.number <= appends_kept;
    select array_agg(e.id order by a.number) into entity_of
      from unnest(names) with ordinality as a (name, number) join entities e on e.name = a.name
     where a.number <= appends_kept;
  end if;

  insert into events (journal_offset, commit, entity, seq, expected, closes, at, name, version, tags, payload, metadata, settled)
  select last_offset_before + r.place, last_commit_before + r.append, entity_of[r.append], r.seq, expecteds[r.append],
         r.closes, ats[r.append], r.name, r.version, r.tags, r.payload, r.metadata, r.settled
    from unnest(row_appends, row_places, row_seqs, row_closes, event_names, event_versions, event_tags, event_payloads,
                metadatas, settleds)
         as r (append, place, seq, closes, name, version, tags, payload, metadata, settled)
   where r.append <= appends_kept;
  get diagnostics written = row_count;
  if written <> rows_kept then
    raise exception '% of % rows were written', written, rows_kept;
  end if;

  if cardinality(answer_appends) > 0 then
    insert into answers (commit, entity, key, key_hash, fingerprint, reply)
    select last_commit_before + a.append, entity_of[a.append], a.key, a.key_hash, a.fingerprint, a.reply
      from unnest(answer_appends, keys, key_hashes, fingerprints, replies) as a (append, key, key_hash, fingerprint, reply)
     where a.append <= appends_kept;
  end if;

  if cardinality(effect_appends) > 0 then
    insert into effects (commit, position, entity, seq, n, at, kind, name, due, target, key, headers, payload)
    select last_commit_before + f.append, f.position, entity_of[f.append], f.seq, f.n, ats[f.append], f.kind, f.name, f.due,
           f.target, f.key, f.headers, f.payload
      from unnest(effect_appends, effect_positions, effect_seqs, effect_ns, effect_kinds, effect_names, effect_dues,
                  effect_targets, effect_keys, effect_headers, effect_payloads)
           as f (append, position, seq, n, kind, name, due, target, key, headers, payload)
     where f.append <= appends_kept;
  end if;

  if cardinality(settled_appends) > 0 then
    update effects f set settled = true
      from unnest(settled_appends, settled_seqs, settled_ns) as s (append, seq, n)
     where s.append <= appends_kept
       and f.entity = entity_of[s.append] and f.seq = s.seq and f.n = s.n and not f.settled;
  end if;

  if row_places[rows_kept] > 0 then
    perform pg_notify(channel(), (last_offset_before + row_places[rows_kept])::text);
  end if;
end;
$$;

-- Deletes an entity's events up to `until`. The last row of its last append stays, without its event, and so do its keys and
-- the effects that have no outcome.
create function delete_events(entity_name text, until bigint) returns void
language plpgsql
set search_path from current
as $$
declare
  whose entities%rowtype;
  last events%rowtype;
  gone bigint;
begin
  select * into whose from entities e where e.name = entity_name for update;
  select * into last from events v where v.entity = whose.id order by v.seq desc, v.commit desc limit 1;
  gone := least(until, last.seq);
  if whose.id is null or gone <= whose.deleted_to then
    return;
  end if;
  update entities e set deleted_to = gone where e.id = whose.id;
  with away as (
    delete from events v
     where v.entity = whose.id and v.seq <= gone and (v.commit < last.commit or not v.closes)
    returning v.commit, v.closes
  )
  delete from effects f using away where away.closes and f.commit = away.commit and f.settled;
  update events v set name = null, version = null, tags = null, payload = null
   where v.journal_offset = last.journal_offset and v.commit = last.commit and v.seq <= gone;
end;
$$;

-- For people: times as times, names in place of numbers, payloads as text where they are text.

create function readable(payload bytea) returns text
language plpgsql immutable
as $$
begin
  return convert_from(payload, 'UTF8');
exception when others then
  return encode(payload, 'hex');
end;
$$;

create function moment(micros bigint) returns timestamptz
language sql immutable
return case when micros between -62135596800000000 and 253402300799999999
            then 'epoch'::timestamptz + micros * interval '1 microsecond' end;

create view history as
select v.journal_offset, e.name as entity, v.seq, moment(v.at) as at, v.name as event, v.version, v.tags,
       readable(v.payload) as payload, v.metadata
  from events v join entities e on e.id = v.entity
 where v.name is not null;

create view waiting_effects as
select e.name as entity, f.seq, f.n, moment(f.at) as at, f.kind, f.name, moment(f.due) as due, f.target, f.key,
       f.headers, readable(f.payload) as payload
  from effects f join entities e on e.id = f.entity
 where not f.settled;
