create table if not exists ml.demand_forecasts (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    product_key text not null,
    pattern text not null check (pattern in ('smooth', 'erratic', 'intermittent', 'lumpy')),
    method text not null,
    lead_time_days integer not null,    -- that all units below are of
    is_lead_time_assumed boolean not null, -- the shop names none
    observed_days integer not null,     -- of the last year: on sale, with stock
    stockout_days integer not null,     -- of the last year: without stock or with wrong books
    daily_units double precision not null,
    expected_units double precision not null,
    q50 double precision not null,      -- units that the lead time's demand stays within so often
    q80 double precision not null,
    q90 double precision not null,
    q95 double precision not null,
    q98 double precision not null,
    safety_stock double precision not null,
    reorder_point double precision not null,
    stock_status text not null check (stock_status in ('known', 'unknown', 'untracked')),
    available double precision,         -- null but where the stock is known
    incoming double precision,
    order_by_date date,
    primary key (run_id, product_key),
    check (q50 <= q80 and q80 <= q90 and q90 <= q95 and q95 <= q98)
);

create table if not exists ml.product_predictions (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    product_key text not null,
    product_group text not null check (product_group in ('established', 'new')),
    model text not null,
    horizon_days integer not null,      -- from the as-of date, of a new product from its launch
    units double precision not null,
    lo80 double precision,              -- null where too few were measured
    hi80 double precision,
    baseline_units double precision not null,
    price_amount double precision,      -- store currency; null where none is known
    revenue_amount double precision,
    last_units double precision not null, -- of as many days before
    primary key (run_id, product_key)
);
