alter table ml.churn_scores add column if not exists own_horizon_days integer; -- of this shop's pauses
alter table ml.churn_scores add column if not exists own_churn_probability double precision;

-- What those who left have in common, counted over the people who were active on a past day.
create table if not exists ml.churn_traits (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    trait text not null,
    value text not null,
    people integer not null,            -- active people who have it
    churned_share double precision not null, -- of those who left, who has it
    kept_share double precision not null,    -- of those who stayed
    lift double precision,              -- the ratio of the two; null where nobody who stayed has it
    churn_rate double precision not null,
    p_value double precision not null,  -- Fisher's exact test
    is_clear boolean not null,          -- beyond what that many traits show by accident
    counted_on date not null,           -- the day on which they were active
    primary key (run_id, trait, value)
);

-- Whom to win back; the rows of past runs stay, so that the outcome can be measured.
create table if not exists ml.winback (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    campaign text not null,             -- month
    customer_key text not null,
    listed_on date not null,
    rank integer not null,
    is_holdout boolean not null,        -- gets nothing, so that the effect can be measured
    horizon_days integer not null,      -- after which the outcome counts
    churn_probability double precision not null,
    expected_amount double precision not null, -- store currency, next 12 months
    margin_share double precision not null,
    expected_margin_amount double precision not null, -- at stake
    primary key (run_id, customer_key)
);
