-- One row per fixed cost and day on which it was paid, up to the last complete day.
with

overheads as (

    select * from {{ ref('int_overheads_daily') }}

),

final as (

    select
        {{ surrogate_key(['overhead', 'store_id', 'overhead_date']) }} as overhead_key,
        overhead,
        coalesce(store_id, '(shared)') as store_id,
        overhead_amount,
        cast({{ dbt.date_trunc('month', 'overhead_date') }} as date) as overhead_month,
        overhead_date
    from overheads

)

select * from final
