-- A SKU's versions follow each other without gap or overlap, and exactly the last is open.
with

neighbours as (

    select
        product_key,
        valid_from,
        valid_to,
        lead(valid_from) over (partition by product_key order by valid_from asc) as next_valid_from
    from {{ ref('dim_products_history') }}

)

select *
from neighbours
where valid_to is distinct from next_valid_from
