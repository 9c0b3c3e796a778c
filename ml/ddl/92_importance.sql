-- One row per run, series and fact: how much more its champion errs if the fact is that of another row.
create table if not exists ml.feature_importance (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    task text not null,
    series text not null,
    model text not null,                -- the champion
    fact text not null,                 -- in words
    features text not null,             -- the columns that stand for it, shuffled together
    importance double precision not null, -- rise of the error, as a part of it
    deviation double precision not null, -- of the importance, over several shuffles
    rank integer not null,              -- 1 is the most important
    n integer not null,                 -- rows that it was measured on
    primary key (run_id, task, series, fact)
);
