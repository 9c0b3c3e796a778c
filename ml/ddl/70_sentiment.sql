-- What reviews say; their words are in no table of this schema.

create table if not exists ml.review_sentiment (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    review_id text not null,
    product_key text,                   -- null where the product is unknown
    review_date date not null,
    language text,
    rating double precision,
    sentiment double precision not null check (sentiment between -1 and 1),
    label text not null check (label in ('negative', 'neutral', 'positive')),
    lexicon_score double precision not null check (lexicon_score between -1 and 1),
    is_covered boolean not null,        -- the lexicon knows a word of it
    contradicts_rating boolean not null,
    method text not null,
    primary key (run_id, review_id)
);

create table if not exists ml.product_aspects (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    product_key text not null,
    kind text not null check (kind in ('aspect', 'term')),
    name text not null,
    reviews integer not null,           -- that mention it
    share double precision not null,    -- of the product's reviews
    mean_rating double precision,
    product_mean_rating double precision,
    mean_sentiment double precision not null,
    z double precision,                 -- of terms: below 0 goes with bad ratings
    primary key (run_id, product_key, kind, name)
);
