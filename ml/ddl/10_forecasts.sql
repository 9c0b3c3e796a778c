create table if not exists ml.forecasts (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    series text not null,               -- revenue, product_sales, orders, profit
    dimension text not null,            -- total
    member text not null,               -- all
    model text not null,
    is_champion boolean not null,
    grain text not null check (grain in ('day', 'year')),
    target_date date not null,          -- first day of the period
    horizon_days integer not null,      -- its last day, counted from the as-of date
    is_closed boolean not null,
    yhat double precision not null,     -- store currency, or orders
    lo80 double precision,
    hi80 double precision,
    lo95 double precision,
    hi95 double precision,
    primary key (run_id, series, dimension, member, model, grain, target_date)
);
