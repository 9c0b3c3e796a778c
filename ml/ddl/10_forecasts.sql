create table if not exists ml.forecasts (
    run_id text not null references ml.runs on delete cascade,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    series text not null,               -- revenue, product_sales, orders, profit
    dimension text not null,            -- total, category, country, segment
    member text not null,               -- all; or what the dimension is cut into, (other) for the small ones
    model text not null,
    is_champion boolean not null,
    grain text not null check (grain in ('day', 'month', 'year')),
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

-- tables of before there were months
do $$
begin
    if not exists (
        select 1 from pg_constraint
        where conrelid = 'ml.forecasts'::regclass and conname = 'forecasts_grain_check'
            and pg_get_constraintdef(oid) like '%month%'
    ) then
        alter table ml.forecasts drop constraint if exists forecasts_grain_check;
        alter table ml.forecasts
            add constraint forecasts_grain_check check (grain in ('day', 'month', 'year'));
    end if;
end
$$;

-- Every forecast that was ever made, as it was made: whatever becomes of the run, its rows here stay.
create table if not exists ml.forecast_archive (
    run_id text not null,
    model_version text not null,
    as_of_date date not null,
    scored_at timestamptz not null,
    series text not null,
    dimension text not null,
    member text not null,
    model text not null,
    is_champion boolean not null,
    grain text not null,
    target_date date not null,
    horizon_days integer not null,
    is_closed boolean not null,
    yhat double precision not null,
    lo80 double precision,
    hi80 double precision,
    lo95 double precision,
    hi95 double precision,
    primary key (run_id, series, dimension, member, model, grain, target_date)
);

-- Kept by the database itself, so that no task can forget it and none can change it. Made once: a
-- role that does not own them could not replace them.
do $$
begin
    if to_regprocedure('ml.keep_forecasts()') is null then
        create function ml.keep_forecasts() returns trigger language plpgsql as $body$
        begin
            insert into ml.forecast_archive
            select
                run_id, model_version, as_of_date, scored_at, series, dimension, member, model,
                is_champion, grain, target_date, horizon_days, is_closed, yhat, lo80, hi80, lo95, hi95
            from made
            on conflict do nothing;  -- the same run again: the first is the forecast that was made
            return null;
        end
        $body$;
        create trigger keep_forecasts after insert on ml.forecasts
        referencing new table as made
        for each statement execute function ml.keep_forecasts();
    end if;
    if to_regprocedure('ml.refuse_change()') is null then
        create function ml.refuse_change() returns trigger language plpgsql as $body$
        begin
            raise exception 'ml.%: forecasts that were made are never changed', tg_table_name;
        end
        $body$;
        create trigger refuse_change before update or delete or truncate on ml.forecast_archive
        for each statement execute function ml.refuse_change();
    end if;
end
$$;
