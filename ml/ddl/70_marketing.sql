create table if not exists ml.channel_response (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    marketing_channel text not null,
    point integer not null,                     -- 0 is no spend, the last one the most ever spent in a week
    weekly_spend_amount double precision not null, -- every week; store currency
    credited_amount double precision not null,  -- net sales of a week that attribution credits the channel with
    credited_lo95 double precision not null,
    credited_hi95 double precision not null,
    incremental_amount double precision,        -- what would not have come without the spend; null where it can't be told
    incremental_lo95 double precision,
    incremental_hi95 double precision,
    primary key (run_id, marketing_channel, point)
);

create table if not exists ml.budget_advice (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    marketing_channel text not null,
    advice text not null check (advice in ('raise', 'cut', 'keep', 'none')),
    reason text not null,
    weeks_with_spend integer not null,
    usual_spend_amount double precision not null,   -- mean of the last year's weeks with spend; store currency
    largest_spend_amount double precision not null, -- of a week
    decay double precision,                         -- of a week's spend, in the next
    half_saturation_amount double precision,        -- weekly spend at which more brings half as much; null if straight
    credited_per_spend double precision,            -- net sales per unit of spend, at the usual spend
    incremental_per_spend double precision,
    incremental_per_spend_lo95 double precision,
    incremental_per_spend_hi95 double precision,
    advised_spend_amount double precision,          -- of a week
    weekly_gain_amount double precision,            -- profit at the best spend against that at the usual one
    weekly_gain_lo95 double precision,
    weekly_gain_hi95 double precision,
    primary key (run_id, marketing_channel)
);
