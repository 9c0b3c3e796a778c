-- One row: how far the data goes, for those who may read no intermediate model.
with

store_clock as (

    select * from {{ ref('int_store_clock') }}

),

final as (

    select
        as_of_date,
        last_loaded_at
    from store_clock

)

select * from final
