-- The shares of a SKU's categories add up to one, and one of them is primary.
select
    product_key,
    sum(weight) as weight,
    sum(case when is_primary then 1 else 0 end) as primaries
from {{ ref('bridge_product_category') }}
group by product_key
having
    sum(weight) <> 1
    or sum(case when is_primary then 1 else 0 end) <> 1
