-- Version 1 of the journal. What each table and function promises stands in the README.

-- Whoever appends or claims has the turn until its transaction has ended. The lock is an advisory one, named by
-- "grio" in ASCII and the schema: a row that each append updates would be as slow as the oldest transaction is long.
create function wait_for_turn() returns void
language sql
set search_path from current
return pg_advisory_xact_lock(1735551343, current_schema()::text::regnamespace::oid::integer);

create table shards (
  kind text collate "C" not null,
  number bigint not null,
  epoch bigint not null,
  primary key (kind, number)
);

create table entities (
  id bigint generated always as identity primary key,
  name text collate "C" not null unique,
  kind text collate "C" not null,
  seq bigint not null,
  deleted_to bigint not null default 0
) with (fillfactor = 80);
create index entities_by_kind on entities (kind, name);

create table commits (
  number bigint primary key,
  entity bigint not null,
  expected bigint not null,
  seq bigint not null,
  journal_offset bigint not null,
  at bigint not null,
  metadata jsonb not null,
  settled jsonb not null
);
create unique index commits_of_entity on commits (entity, seq, number);

-- How far the journal is, in one row. The last commit of all is the last of its entity, which no deletion takes away.
create view progress as
select coalesce(c.number, 0) as last_commit,
       coalesce(c.journal_offset + greatest(c.seq - c.expected - 1, 0), 0) as last_offset
  from (values (true)) as one
  left join (select * from commits order by number desc limit 1) c on true;

create table events (
  journal_offset bigint primary key,
  entity bigint not null,
  seq bigint not null,
  commit bigint not null,
  name text not null,
  version integer not null,
  tags jsonb not null,
  payload bytea not null
);
create unique index events_of_entity on events (entity, seq);

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

-- Appends batches in their order, each wholly or not at all. Batches are numbered from 1, and so are the appends
-- of all of them; events and effects say by that number which append they are of.
create function append(
  shard_kinds text[], shard_numbers bigint[], epochs bigint[],
  batches integer[], names text[], kinds text[], expecteds bigint[], counts integer[], ats bigint[],
  metadatas jsonb[], settleds jsonb[], keys text[], key_hashes bigint[], fingerprints bigint[], replies bytea[],
  event_appends integer[], event_positions integer[], event_names text[], event_versions integer[],
  event_tags jsonb[], event_payloads bytea[],
  effect_appends integer[], effect_positions integer[], effect_seqs bigint[], effect_ns bigint[],
  effect_kinds text[], effect_names text[], effect_dues bigint[], effect_targets text[], effect_keys text[],
  effect_headers jsonb[], effect_payloads bytea[],
  settled_appends integer[], settled_seqs bigint[], settled_ns bigint[]
) returns table (
  verdict text, append integer, actual bigint, last_offset bigint, fingerprint bigint, reply bytea
)
language plpgsql
set search_path from current
as $$
#variable_conflict use_column
declare
  begun progress%rowtype;
  bad record;
  verdicts text[];
  refused integer[];
  actuals bigint[];
  commit_of bigint[];
  before bigint[];
  entity_of bigint[];
  until bigint[];
begin
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;

  -- From here to the commit nobody else appends or claims; each statement below sees all that was committed before.
  perform wait_for_turn();
  select * into strict begun from progress;

  select array_agg(case when b.epoch <> coalesce(s.epoch, 0) then 'fenced' end order by b.number),
         array_agg(coalesce(s.epoch, 0) order by b.number),
         array_agg(null::integer)
    into verdicts, actuals, refused
    from unnest(shard_kinds, shard_numbers, epochs) with ordinality as b (shard_kind, shard_number, epoch, number)
    left join shards s on s.kind = b.shard_kind and s.number = b.shard_number;

  -- The first append that is wrong takes its batch with it; then those behind it are judged anew.
  loop
    select a.number, a.batch, a.stands, a.answered into bad from (
      select a.*, a.key is not null and (
               row_number() over (partition by a.name, a.key order by a.number) > 1
               or exists (select from answers k where k.entity = a.id and k.key_hash = a.key_hash and k.key = a.key)
             ) as answered
        from (
          select a.*, e.id, coalesce(e.seq, 0) + coalesce(sum(a.events) over (
                   partition by a.name order by a.number rows between unbounded preceding and 1 preceding), 0) as stands
            from unnest(batches, names, expecteds, counts, keys, key_hashes)
                 with ordinality as a (batch, name, expected, events, key, key_hash, number)
            left join entities e on e.name = a.name
           where verdicts[a.batch] is null
        ) a
    ) a
    where a.answered or a.expected <> a.stands
    order by a.number
    limit 1;
    exit when not found;
    verdicts[bad.batch] := case when bad.answered then 'answered' else 'conflict' end;
    refused[bad.batch] := bad.number;
    actuals[bad.batch] := bad.stands;
  end loop;

  insert into entities as e (name, kind, seq)
  select a.name, min(a.kind), sum(a.events)
    from unnest(batches, names, kinds, counts) as a (batch, name, kind, events)
   where verdicts[a.batch] is null
   group by a.name
  on conflict (name) do update set seq = e.seq + excluded.seq;

  select array_agg(begun.last_commit + a.commits order by a.number),
         array_agg(begun.last_offset + a.until - a.events order by a.number),
         array_agg(e.id order by a.number)
    into commit_of, before, entity_of
    from (
      select a.name, a.number, a.events,
             count(*) filter (where verdicts[a.batch] is null) over (order by a.number) as commits,
             coalesce(sum(a.events) filter (where verdicts[a.batch] is null) over (order by a.number), 0)
               as until
        from unnest(batches, names, counts) with ordinality as a (batch, name, events, number)
    ) a
    left join entities e on e.name = a.name;

  insert into commits (number, entity, expected, seq, journal_offset, at, metadata, settled)
  select commit_of[a.number], entity_of[a.number], a.expected, a.expected + a.events,
         before[a.number] + least(a.events, 1), a.at, a.metadata, a.settled
    from unnest(batches, expecteds, counts, ats, metadatas, settleds)
         with ordinality as a (batch, expected, events, at, metadata, settled, number)
   where verdicts[a.batch] is null;

  insert into events (journal_offset, entity, seq, commit, name, version, tags, payload)
  select before[v.append] + v.position, entity_of[v.append], expecteds[v.append] + v.position, commit_of[v.append],
         v.name, v.version, v.tags, v.payload
    from unnest(event_appends, event_positions, event_names, event_versions, event_tags, event_payloads)
         as v (append, position, name, version, tags, payload)
   where verdicts[batches[v.append]] is null;

  if cardinality(effect_appends) > 0 then
    insert into effects (commit, position, entity, seq, n, at, kind, name, due, target, key, headers, payload)
    select commit_of[f.append], f.position, entity_of[f.append], f.seq, f.n, ats[f.append], f.kind, f.name, f.due,
           f.target, f.key, f.headers, f.payload
      from unnest(effect_appends, effect_positions, effect_seqs, effect_ns, effect_kinds, effect_names, effect_dues,
                  effect_targets, effect_keys, effect_headers, effect_payloads)
           as f (append, position, seq, n, kind, name, due, target, key, headers, payload)
     where verdicts[batches[f.append]] is null;
  end if;

  if cardinality(settled_appends) > 0 then
    update effects f set settled = true
      from unnest(settled_appends, settled_seqs, settled_ns) as s (append, seq, n)
     where verdicts[batches[s.append]] is null
       and f.entity = entity_of[s.append] and f.seq = s.seq and f.n = s.n and not f.settled;
  end if;

  insert into answers (commit, entity, key, key_hash, fingerprint, reply)
  select commit_of[a.number], entity_of[a.number], a.key, a.key_hash, a.fingerprint, a.reply
    from unnest(batches, keys, key_hashes, fingerprints, replies)
         with ordinality as a (batch, key, key_hash, fingerprint, reply, number)
   where a.key is not null and verdicts[a.batch] is null;

  select array_agg(b.until order by b.number) into until from (
    select a.batch as number, max(before[a.number] + a.events) as until
      from unnest(batches, counts) with ordinality as a (batch, events, number)
     group by a.batch
  ) b;

  return query
  select verdicts[b.number], refused[b.number], actuals[b.number], until[b.number], k.fingerprint, k.reply
    from generate_series(1, cardinality(epochs)) as b (number)
    left join lateral (
      select k.fingerprint, k.reply
        from answers k
       where verdicts[b.number] = 'answered' and k.entity = entity_of[refused[b.number]]
         and k.key_hash = key_hashes[refused[b.number]] and k.key = keys[refused[b.number]]
       order by k.commit
       limit 1
    ) k on true
   order by b.number;
end;
$$;

-- Deletes an entity's events up to `until`. Its last commit stays, without them, and so do its keys and the effects
-- that have no outcome.
create function delete_events(entity_name text, until bigint) returns void
language plpgsql
set search_path from current
as $$
declare
  whose entities%rowtype;
  gone bigint;
begin
  select * into whose from entities e where e.name = entity_name for update;
  gone := least(until, whose.seq);
  if whose.id is null or gone <= whose.deleted_to then
    return;
  end if;
  update entities e set deleted_to = gone where e.id = whose.id;
  delete from events v where v.entity = whose.id and v.seq <= gone;
  with away as (
    delete from commits c
     where c.entity = whose.id and c.seq <= gone
       and c.number < (select l.number from commits l where l.entity = whose.id order by l.seq desc, l.number desc limit 1)
    returning c.number
  )
  delete from effects f using away where f.commit = away.number and f.settled;
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
select v.journal_offset, e.name as entity, v.seq, moment(c.at) as at, v.name as event, v.version, v.tags,
       readable(v.payload) as payload, c.metadata
  from events v join entities e on e.id = v.entity join commits c on c.number = v.commit;

create view waiting_effects as
select e.name as entity, f.seq, f.n, moment(f.at) as at, f.kind, f.name, moment(f.due) as due, f.target, f.key,
       f.headers, readable(f.payload) as payload
  from effects f join entities e on e.id = f.entity
 where not f.settled;
